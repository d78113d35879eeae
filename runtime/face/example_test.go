package face_test

import (
	"fmt"
	"image"

	"mien/camera/replay/portrait"
	"mien/runtime/face"
	"mien/runtime/model"
)

// A detector finds faces in a grey picture; Align levels one for a model.
func Example() {
	d, err := face.NewDetector(face.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	picture := portrait.Gray()
	faces := d.Detect(picture, nil)
	fmt.Println(len(faces), "face, with eyes:", faces[0].Eyes, "where a person sees it:", faces[0].Box.Overlaps(portrait.Face))
	level := image.NewGray(image.Rect(0, 0, model.Side, model.Side))
	face.Align(level, picture, faces[0])
	fmt.Println(level.Rect.Size(), "for the model")
	// Output:
	// 1 face, with eyes: true where a person sees it: true
	// (50,50) for the model
}
