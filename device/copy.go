package device

// CopyInto makes dst a copy of r that shares no memory with it, in dst's own
// memory: an observer that copies every reading into the same place allocates
// only until that has grown.
func (r *Reading) CopyInto(dst *Reading) {
	faces := dst.Faces
	*dst = *r
	dst.Faces = grown(faces, len(r.Faces))
	for i := range r.Faces {
		r.Faces[i].copyInto(&dst.Faces[i])
	}
}

func (f *FaceReading) copyInto(dst *FaceReading) {
	heads, eyes := dst.Heads, dst.Eyes
	*dst = *f
	if f.Eyes != nil {
		if eyes == nil {
			eyes = new(Eyes)
		}
		*eyes = *f.Eyes
		dst.Eyes = eyes
	}
	dst.Heads = grown(heads, len(f.Heads))
	for i, h := range f.Heads {
		probs := append(dst.Heads[i].Probs[:0], h.Probs...)
		dst.Heads[i] = h
		dst.Heads[i].Probs = probs
	}
}

// grown returns s with n elements. What its elements beyond the length held
// is kept, for their memory's sake.
func grown[T any](s []T, n int) []T {
	s = s[:cap(s)]
	for len(s) < n {
		var zero T
		s = append(s, zero)
	}
	return s[:n]
}
