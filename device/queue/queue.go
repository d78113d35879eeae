// Package queue keeps messages for somebody who may be away: on disk, bounded,
// in order, until they are acknowledged. The MQTT broker and the fleet's hub are
// served from one each.
package queue

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"mien/runtime/lockfile"
)

// Message is what waits to be published.
type Message struct {
	Topic   string
	ID      string // by which who takes it knows it again, at most 255 bytes; may be empty
	Retain  bool
	Passing bool // worth nothing once a later one like it has been sent
	Payload []byte

	Stale bool // not to be sent: see Next
}

// place is where a record begins: the number of its segment and an offset in
// it.
type place struct {
	segment uint64
	at      int64
}

// Ticket is for the acknowledgement of a record.
type Ticket struct {
	place
	end int64
}

func (p place) before(q place) bool {
	return p.segment < q.segment || p.segment == q.segment && p.at < q.at
}

// Queue keeps messages on disk in the order in which they came, until the
// broker has acknowledged them. It is bounded: when it is full, the oldest
// segment goes, and what was lost is counted.
//
// A queue is a folder of segments, files of records that are only appended
// to; a segment is deleted when its last record is acknowledged. The place of
// the first record that is not acknowledged is in the file "cursor", which is
// overwritten in place: 44 bytes with a checksum, without which all of the
// oldest segment counts as not acknowledged. It also says which passing
// message was handed out last, and how often the broker hung up at the first
// record. Messages that the broker does not want are laid aside in the file
// "refused.jsonl", newest last. Neither is written through to the
// disk with every message: Sync does that, at the rhythm of the caller, and
// only while messages wait. As long as a broker answers nothing is forced to
// the disk, which spares an SD card. After a power cut what came after the
// last sync is lost, and what was acknowledged after it is sent again; after
// a mere crash of the program nothing is lost and only the message on its way
// is sent again.
type Queue struct {
	mu       sync.Mutex
	dir      string
	segment  int64 // size at which a new segment begins
	maximum  int64
	segments []segment // oldest first; the last one is appended to
	w        *os.File  // end of the last segment
	c        *os.File  // cursor
	r        *bufio.Reader
	rf       *os.File
	rfOf     uint64 // segment that rf reads
	read     int64  // offset in the first segment of the oldest record that is not acknowledged
	sent     place  // of the record that Next will return; the zero place means the oldest
	first    place  // as the cursor's file says
	passing  place  // of the passing message that was handed out last, in this life or an earlier one
	strikes  uint64 // of the oldest record: see Strike
	lost     uint64
	lock     *lockfile.Lock
	dirty    bool // since the last sync
	synced   int  // messages that waited then
	Wake     chan struct{}
}

type segment struct {
	number  uint64
	size    int64
	records int // not acknowledged
	ahead   int // of those, handed out
}

const (
	// record: length of the body, its CRC-32C, the body
	recordHead = 8
	maxRecord  = 1 << 20

	// What the first byte of the body says: the topic follows it, behind its
	// length, then the ID, if there is one, behind its own.
	isRetained = 1
	isPassing  = 2
	hasID      = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrFull is what Put says of a message for which there is no room at all.
var ErrFull = errors.New("queue: message is larger than the queue takes")

// patience is how long a queue is waited for that another process has: at an
// upgrade the one before may be about to end.
const patience = 2 * time.Second

// What a queue may take on the disk, in bytes: where nobody says anything else,
// and the least that one is worth having.
const (
	Usual = 16 << 20
	Least = 64 << 10
)

// CheckSize says when a queue of so many bytes is too small.
func CheckSize(bytes int64) error {
	if bytes < Least {
		return fmt.Errorf("a queue of %d bytes is too small, at least %d are needed", bytes, Least)
	}
	return nil
}

// Open opens the queue in dir, or makes it. What a crash left half
// written at the end of the last segment is cut off. A queue has one owner:
// while another process has it, the error is a *lockfile.HeldError.
func Open(dir string, maximum int64) (*Queue, error) {
	// Only the folder itself: one above it that is not there is a slip of the
	// pen, and what is made there is found by nobody.
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("queue: %w", err)
	}
	lock, err := lockfile.Take(filepath.Join(dir, lockfile.Name), patience)
	if err != nil {
		return nil, fmt.Errorf("queue: %w%s", err, mend(err, dir))
	}
	q := &Queue{dir: dir, maximum: maximum, segment: max(maximum/16, 4<<10), Wake: make(chan struct{}, 1), lock: lock}
	if err := q.open(); err != nil {
		if hint := mend(err, dir); hint != "" {
			err = fmt.Errorf("%w%s", err, hint)
		}
		if q.c != nil {
			err = errors.Join(err, q.c.Close())
		}
		return nil, errors.Join(err, lock.Release())
	}
	return q, nil
}

// mend says what to do about files that belong to somebody else.
func mend(err error, dir string) string {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Sprintf(" (give it to the user of the service: chown -R mien:mien %s)", dir)
	}
	return ""
}

func (q *Queue) open() (err error) {
	if q.c, err = os.OpenFile(filepath.Join(q.dir, "cursor"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(q.dir, "*.log"))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	for _, name := range names {
		n, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".log"), 16, 64)
		if err != nil {
			continue // not ours
		}
		q.segments = append(q.segments, segment{number: n})
	}
	slices.SortFunc(q.segments, func(a, b segment) int { return cmpUint(a.number, b.number) })
	if err := q.restore(); err != nil {
		return err
	}
	return q.roll()
}

// CheckFolder says whether a queue can be kept in dir. It leaves nothing
// behind, and does not mind a queue that is in use.
func CheckFolder(dir string) error {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		dir = filepath.Dir(filepath.Clean(dir))
		st, err = os.Stat(dir)
	}
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if !st.IsDir() {
		return fmt.Errorf("queue: %s is no folder", dir)
	}
	try, err := os.MkdirTemp(dir, ".try")
	if err != nil {
		return fmt.Errorf("queue: %s cannot be written: %w", dir, err)
	}
	return os.Remove(try)
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// restore counts the records of the segments found and applies the cursor.
func (q *Queue) restore() error {
	q.cursor()
	number, offset := q.first.segment, q.first.at
	kept := q.segments[:0]
	for _, s := range q.segments {
		from := int64(0)
		if s.number == number {
			from = offset
		}
		name := q.name(s.number)
		if s.number < number {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("queue: %w", err)
			}
			continue
		}
		end, records, err := scan(name, from)
		if err != nil {
			return err
		}
		if records == 0 {
			if err := os.Remove(name); err != nil {
				return fmt.Errorf("queue: %w", err)
			}
			continue
		}
		if len(kept) == 0 {
			q.read = from
			if s.number != number {
				q.strikes = 0
			}
		}
		s.size, s.records = end, records
		kept = append(kept, s)
	}
	q.segments = kept
	if len(kept) == 0 {
		q.strikes = 0
	}
	if n := len(kept); n == 0 || q.passing.segment > kept[n-1].number {
		q.passing = place{}
	}
	return nil
}

// scan walks the records of a segment from an offset and returns where the
// good ones end and how many there are.
func scan(name string, from int64) (end int64, records int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, 0, fmt.Errorf("queue: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return 0, 0, fmt.Errorf("queue: %w", err)
	}
	r := bufio.NewReader(f)
	for end = from; ; records++ {
		_, n, err := readRecord(r)
		if err != nil {
			return end, records, nil // the end, or a record that a crash cut short
		}
		end += n
	}
}

// readRecord reads one record and returns how long it is in the file.
func readRecord(r io.Reader) (Message, int64, error) {
	var head [recordHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Message{}, 0, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < 3 || n > maxRecord {
		return Message{}, 0, fmt.Errorf("queue: record of %d bytes", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return Message{}, 0, err
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return Message{}, 0, errors.New("queue: record is damaged")
	}
	m := Message{Retain: body[0]&isRetained != 0, Passing: body[0]&isPassing != 0}
	topic, rest := int(binary.LittleEndian.Uint16(body[1:])), body[3:]
	if topic > len(rest) {
		return Message{}, 0, errors.New("queue: record is damaged")
	}
	m.Topic, rest = string(rest[:topic]), rest[topic:]
	if body[0]&hasID != 0 {
		if len(rest) == 0 || int(rest[0]) >= len(rest) {
			return Message{}, 0, errors.New("queue: record is damaged")
		}
		m.ID, rest = string(rest[1:1+rest[0]]), rest[1+rest[0]:]
	}
	m.Payload = rest
	return m, int64(recordHead + n), nil
}

func appendRecord(b []byte, m Message) []byte {
	at := len(b)
	b = append(b, make([]byte, recordHead+1)...)
	if m.Retain {
		b[at+recordHead] |= isRetained
	}
	if m.Passing {
		b[at+recordHead] |= isPassing
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(m.Topic)))
	b = append(b, m.Topic...)
	if m.ID != "" {
		b[at+recordHead] |= hasID
		b = append(append(b, byte(len(m.ID))), m.ID...)
	}
	b = append(b, m.Payload...)
	body := b[at+recordHead:]
	binary.LittleEndian.PutUint32(b[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[at+4:], crc32.Checksum(body, castagnoli))
	return b
}

func (q *Queue) name(number uint64) string {
	return filepath.Join(q.dir, fmt.Sprintf("%016x.log", number))
}

// roll begins a new segment.
func (q *Queue) roll() error {
	number := uint64(1)
	if n := len(q.segments); n > 0 {
		number = q.segments[n-1].number + 1
	} else if q.first.segment > 0 {
		number = q.first.segment + 1
	}
	f, err := os.OpenFile(q.name(number), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if q.w != nil {
		if q.segments[len(q.segments)-1].records > 0 {
			err = q.w.Sync()
		}
		err = errors.Join(err, q.w.Close())
	}
	q.w = f
	q.segments = append(q.segments, segment{number: number})
	return err
}

// Put appends a message, dropping the oldest segment when there is no room.
func (q *Queue) Put(m Message) error {
	b := appendRecord(nil, m)
	if int64(len(b)) > q.segment || len(b) > maxRecord || len(m.Topic) > 1<<16-1 || len(m.ID) > 255 {
		return ErrFull
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	last := &q.segments[len(q.segments)-1]
	if last.size+int64(len(b)) > q.segment {
		if err := q.roll(); err != nil {
			return err
		}
		last = &q.segments[len(q.segments)-1]
	}
	for q.size()+int64(len(b)) > q.maximum && len(q.segments) > 1 {
		q.lost += uint64(q.segments[0].records)
		q.drop()
		last = &q.segments[len(q.segments)-1]
	}
	if _, err := q.w.Write(b); err != nil {
		// What was written of it would hide all that follows.
		return errors.Join(fmt.Errorf("queue: %w", err), q.w.Truncate(last.size))
	}
	last.size += int64(len(b))
	last.records++
	q.dirty = true
	select {
	case q.Wake <- struct{}{}:
	default:
	}
	return nil
}

func (q *Queue) size() (n int64) {
	for _, s := range q.segments {
		n += s.size
	}
	return n
}

// drop deletes the oldest segment, which is not the one appended to.
func (q *Queue) drop() {
	if q.rf != nil && q.rfOf == q.segments[0].number {
		q.rf.Close()
		q.rf = nil
	}
	os.Remove(q.name(q.segments[0].number)) // if it stays, the cursor skips it at the next start
	q.segments = append(q.segments[:0], q.segments[1:]...)
	q.read, q.strikes = 0, 0
	q.mark()
}

// Next hands out the oldest message that has not been handed out yet; ok is
// false when there is none. The ticket is for ack. A message comes out stale,
// to be acknowledged and not to be sent, when it is retained, which older
// firmware kept here, or when it is passing and a later one like it has been
// handed out before: after a broken connection, readings do not go back in
// time.
func (q *Queue) Next() (m Message, t Ticket, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	i := q.reading()
	if i < 0 {
		return Message{}, Ticket{}, false, nil
	}
	s := &q.segments[i]
	if err := q.openFor(s.number); err != nil {
		return Message{}, Ticket{}, false, err
	}
	// Read at the offset, not where the file happens to be.
	q.r.Reset(io.NewSectionReader(q.rf, q.sent.at, s.size-q.sent.at))
	m, n, err := readRecord(q.r)
	if err != nil {
		err = fmt.Errorf("queue: segment %d: %w", s.number, err)
		return Message{}, Ticket{}, false, errors.Join(err, q.giveUp(s))
	}
	at := q.sent
	q.sent.at += n
	t = Ticket{at, q.sent.at}
	s.ahead++
	m.Stale = m.Retain || m.Passing && at.before(q.passing)
	if m.Passing && q.passing.before(at) {
		q.passing = at
		q.mark()
	}
	return m, t, true, nil
}

// reading finds the segment of the record to hand out next, and sets q.sent
// to it; -1 when all have been handed out.
func (q *Queue) reading() int {
	for i := range q.segments {
		s := &q.segments[i]
		if s.number < q.sent.segment {
			continue
		}
		if s.number != q.sent.segment {
			q.sent = place{segment: s.number}
			if i == 0 {
				q.sent.at = q.read
			}
		}
		if s.records > s.ahead {
			return i
		}
	}
	return -1
}

func (q *Queue) openFor(number uint64) error {
	if q.rf != nil && q.rfOf == number {
		return nil
	}
	if q.rf != nil {
		q.rf.Close()
		q.rf = nil
	}
	f, err := os.Open(q.name(number))
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.rf, q.rfOf = f, number
	if q.r == nil {
		q.r = bufio.NewReaderSize(nil, 4<<10)
	}
	return nil
}

// giveUp counts what is left in a segment as lost: it is damaged on the disk,
// and its records cannot be told apart any more.
func (q *Queue) giveUp(s *segment) error {
	q.lost += uint64(s.records - s.ahead)
	s.records = s.ahead
	if s.number == q.segments[len(q.segments)-1].number { // nothing more may be appended to it
		if err := q.roll(); err != nil {
			return err
		}
	}
	q.tidy()
	return nil
}

// tidy deletes the oldest segments that are done with.
func (q *Queue) tidy() {
	for len(q.segments) > 1 && q.segments[0].records == 0 {
		q.drop()
	}
}

// Rewind makes Next begin with the oldest message again.
func (q *Queue) Rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent = place{}
	for i := range q.segments {
		q.segments[i].ahead = 0
	}
}

// Ack removes the oldest message, if it is the one that Next returned with
// the ticket. If that has been dropped in the meantime nothing happens.
func (q *Queue) Ack(t Ticket) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &q.segments[0]
	if s.ahead == 0 || t.place != (place{s.number, q.read}) {
		return
	}
	q.read, q.strikes = t.end, 0
	s.records--
	s.ahead--
	q.mark()
	q.tidy()
	// A segment that is done with is deleted early, not only when it is full.
	// Emptying it instead would leave a cursor that points past its end.
	if s = &q.segments[0]; s.records == 0 && len(q.segments) == 1 && s.size > 64<<10 && q.roll() == nil {
		q.drop()
	}
}

// Strike counts that the broker hung up at the oldest message, for good, and
// returns how often it has. It is for the message with the ticket alone.
func (q *Queue) Strike(t Ticket) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s := &q.segments[0]; s.records == 0 || t.place != (place{s.number, q.read}) {
		return 0
	}
	q.strikes++
	q.mark()
	return q.strikes
}

// Refused is the file in the folder that takes the messages that the broker does not want, as lines of
// JSON. The one before it, when it has grown to maxRefused bytes, is kept too.
const (
	Refused    = "refused.jsonl"
	maxRefused = 256 << 10
)

// SetAside keeps a message and why the broker did not want it, for somebody
// to look at.
func (q *Queue) SetAside(m Message, why string, now time.Time) error {
	line, err := json.Marshal(struct {
		Time    time.Time `json:"time"` // when it was refused
		Topic   string    `json:"topic"`
		Reason  string    `json:"reason"`
		Payload string    `json:"payload"`
	}{now, m.Topic, why, string(m.Payload)})
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	path := filepath.Join(q.dir, Refused)
	if info, err := os.Stat(path); err == nil && info.Size()+int64(len(line)) > maxRefused {
		if err := os.Rename(path, path+".1"); err != nil {
			return fmt.Errorf("queue: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// Forget drops all that waits and what was set aside, from the disk too. It is
// not counted as lost. What is on its way is not sent again.
func (q *Queue) Forget() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.roll()
	for len(q.segments) > 1 {
		q.drop()
	}
	for _, name := range []string{Refused, Refused + ".1"} {
		if gone := os.Remove(filepath.Join(q.dir, name)); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("queue: %w", gone))
		}
	}
	return errors.Join(err, q.flush(0))
}

// Waiting is the number of messages.
func (q *Queue) Waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.count()
}

func (q *Queue) count() (n int) {
	for _, s := range q.segments {
		n += s.records
	}
	return n
}

// Dropped is how many were lost because there was no room or the disk was damaged.
func (q *Queue) Dropped() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lost
}

// cursor reads where the queue was left.
func (q *Queue) cursor() {
	var b [44]byte
	n, _ := q.c.ReadAt(b[:], 0)
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	sum := func(end int) bool {
		return n >= end+4 && crc32.Checksum(b[:end], castagnoli) == binary.LittleEndian.Uint32(b[end:])
	}
	switch {
	case sum(40):
		q.first, q.passing, q.strikes = place{u(0), int64(u(1))}, place{u(2), int64(u(3))}, u(4)
	case sum(16): // as older firmware wrote it
		q.first = place{u(0), int64(u(1))}
	}
}

// mark writes that. If it fails, messages come twice after a restart.
func (q *Queue) mark() {
	var b [44]byte
	q.first = place{q.segments[0].number, q.read}
	for i, v := range []uint64{q.first.segment, uint64(q.first.at), q.passing.segment, uint64(q.passing.at), q.strikes} {
		binary.LittleEndian.PutUint64(b[8*i:], v)
	}
	binary.LittleEndian.PutUint32(b[40:], crc32.Checksum(b[:40], castagnoli))
	q.c.WriteAt(b[:], 0)
	q.dirty = true
}

// Sync writes everything through to the disk. It does nothing when nothing
// has changed, or when nothing waits and nothing did the last time.
func (q *Queue) Sync() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.count()
	if !q.dirty || n == 0 && q.synced == 0 {
		return nil
	}
	return q.flush(n)
}

func (q *Queue) flush(n int) error {
	if err := errors.Join(q.w.Sync(), q.c.Sync()); err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	q.dirty, q.synced = false, n
	return nil
}

// Close writes everything through and closes the files.
func (q *Queue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	err := q.flush(q.count())
	if q.rf != nil {
		q.rf.Close()
		q.rf = nil
	}
	return errors.Join(err, q.w.Close(), q.c.Close(), q.lock.Release())
}
