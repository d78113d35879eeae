package page

import (
	"embed"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
)

// Receive reads a small JSON body, and answers by itself when it is none.
func Receive(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil || d.More() {
		Refuse(w, http.StatusBadRequest, "body", "the body is not the JSON object that is wanted")
		return false
	}
	return true
}

// Refuse answers with an error that a program can branch on and a person can read.
func Refuse(w http.ResponseWriter, code int, kind, text string) {
	b, _ := json.Marshal(map[string]string{"error": kind, "detail": text}) // strings
	SendJSON(w, code, b)
}

// SendJSON ends with a new line, for those who ask from a shell.
func SendJSON(w http.ResponseWriter, code int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(b)
	io.WriteString(w, "\n")
}

// Asset serves an embedded file.
func Asset(files embed.FS, name, kind string) http.HandlerFunc {
	b, err := files.ReadFile(name)
	if err != nil {
		b = []byte(err.Error()) // cannot happen: the compiler has embedded it
	}
	return Content(b, kind)
}

// Content serves b.
func Content(b []byte, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(b)))
		w.Write(b)
	}
}
