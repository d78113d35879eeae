package signal

// State is whether the device reads, and why not if it does not. It is one of
// States; lines, health, page, API, metrics and MQTT all tell the same one.
type State string

// All states there are.
const (
	Reading   State = "reading"
	Starting  State = "starting"
	NoCamera  State = "no camera"
	NoModel   State = "no model"
	NoHead    State = "no head"
	NoConsent State = "no consent"
	Held      State = "held"
	Hung      State = "hung"
	WireFault State = "wire fault"
	Stopped   State = "stopped"
)

// Meaning is a state in words.
type Meaning struct {
	State State
	Title string // two or three words, for a small display
	Text  string // for people who look at the device
}

// States are all states. ready is active in the first alone. CONTRACT.md has
// the same table, and a test holds both together.
var States = []Meaning{
	{Reading, "reading", "frames flow and are read"},
	{Starting, "starting", "the first frames are being waited for"},
	{NoCamera, "no camera", "the camera gives no pictures; it is tried again and again"},
	{NoModel, "no model", "the model cannot be opened, so nothing can be read"},
	{NoHead, "nothing to read", "no head is enabled that the model has, so nothing is read"},
	{NoConsent, "no consent", "consent is awaited: pictures are thrown away unseen"},
	{Held, "held", "the board is too hot or short of power to read; it goes on by itself"},
	{Hung, "not answering", "pictures come, but reading them takes too long"},
	{WireFault, "wire fault", "an output line does not follow; it is tried again and again"},
	{Stopped, "stopped", "the firmware has ended, or is about to"},
}

// Meaning returns the words of s.
func (s State) Meaning() Meaning {
	for _, m := range States {
		if m.State == s {
			return m
		}
	}
	return Meaning{State: s, Title: string(s), Text: string(s)}
}
