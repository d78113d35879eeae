package tab_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"mien/device/page/tab"
)

// TestWaitGoesAlong follows a page that sends the browser on fifty times. Each
// time may fall between a question and its answer.
func TestWaitGoesAlong(t *testing.T) {
	const last = 50
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>%d</title><script>`, n)
		if n < last {
			fmt.Fprintf(w, `setTimeout(() => {
	location.replace("?n=%d");
	for (const end = performance.now() + 20; performance.now() < end;);
}, 20)`, n+1)
		}
		fmt.Fprint(w, `</script>`)
	}))
	defer s.Close()
	b := tab.New(t)
	b.Open(s.URL, 390, 844, true, false)
	b.Wait(fmt.Sprintf(`document.title === "%d"`, last))
}
