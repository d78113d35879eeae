package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// The user as whom the package runs miend, and the groups that hold the
// camera, the header and its buses: as in the service's unit.
const serviceUser = "mien"

var serviceGroups = []string{"video", "gpio", "i2c", "spi"}

// dropRoot gives root's rights up for those of a user, so that what miend
// writes when it is started by hand is not root's, which would keep the
// service from its own files ever after. Where there is no such user it says
// as whom it runs.
func dropRoot(name string, log *slog.Logger) error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup(name)
	if errors.As(err, new(user.UnknownUserError)) {
		log.Warn("running as root: miend needs no more than the groups of the camera and the header", "groups", serviceGroups)
		return nil
	}
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	groups, err := groupsOf(u)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	// The user last: after it the groups could not be changed any more.
	if err := errors.Join(syscall.Setgroups(groups), syscall.Setgid(groups[0]), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("root: become user %s: %w", name, err)
	}
	log.Warn("started as root: going on as the service's user, with its rights only", "user", name)
	return nil
}

// groupsOf are the groups of a user, the main one first, and those of the
// service as far as this system has them.
func groupsOf(u *user.User) (ids []int, err error) {
	all := []string{u.Gid}
	more, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	all = append(all, more...)
	for _, name := range serviceGroups {
		if g, err := user.LookupGroup(name); err == nil {
			all = append(all, g.Gid)
		}
	}
	for _, s := range all {
		id, err := strconv.Atoi(s)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
