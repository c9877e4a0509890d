package profiles

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/contrib/apparmor"
	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/containerd/containerd/v2/pkg/oci"

	"github.com/containerd-wazero/containerd-shim-wazero/test/integration/testenv"
)

// enforced is how the kernel calls a profile that is more than a complaint.
func enforced(profile string) string { return profile + " (enforce)" }

// TestKernel: without AppArmor all profiles would be ignored.
func TestKernel(t *testing.T) {
	enabled, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || strings.TrimSpace(string(enabled)) != "Y" {
		t.Fatalf("AppArmor is %q, %v", enabled, err)
	}
	requireLabel(t, uint32(os.Getpid()), "unconfined")
}

// TestDefaultProfile is about the one that containerd, CRI and Docker have for
// everything that is not privileged.
func TestDefaultProfile(t *testing.T) {
	c := start(t)
	const profile = "wazero-test-default"
	must(t, apparmor.LoadDefaultProfile(profile))
	t.Cleanup(func() { unload(t, profile) })
	for name, opts := range map[string][]oci.SpecOpts{
		"root": nil,
		// What Kubernetes asks for under "restricted".
		"pod": {oci.WithUserID(1000), oci.WithCapabilities(nil), oci.WithNoNewPrivileges, oci.WithRootFSReadonly(), seccomp.WithDefaultProfile()},
	} {
		opts = append([]oci.SpecOpts{apparmor.WithDefaultProfile(profile)}, opts...)
		for _, launcher := range append(launchers, "auto") {
			t.Run(name+"-"+launcher, func(t *testing.T) {
				k := c.Run(t, testenv.Spec{
					ID: name + "-" + launcher, Image: witness(t), Args: []string{module, "read", "/public/file", "wait"},
					Opts: opts, RuntimeOptions: withLauncher(launcher),
				})
				k.Stdout.WaitFor(t, "waiting")
				if got := k.Stdout.String(); got != "read /public/file: \"public\n\"\nwaiting\n" {
					t.Errorf("output is %q", got)
				}
				requireLabel(t, k.Pid(), enforced(profile))
				if launcher == "auto" {
					requireDirect(t, c, k.ID())
				}
				execIn(t, k, func(pid uint32) { requireLabel(t, pid, enforced(profile)) })
				end(t, k)
			})
		}
	}
}

// TestProfileThatDenies has a profile by which a guest cannot read what its user may.
func TestProfileThatDenies(t *testing.T) {
	c := start(t)
	const profile = "wazero-test-denies"
	load(t, profile, "capability, file, mount, network, pivot_root, ptrace, signal, umount, unix, deny /secret/** rwklx,")
	for _, user := range []uint32{0, 1000} {
		opts := []oci.SpecOpts{oci.WithUserID(user)}
		for _, launcher := range launchers {
			t.Run(fmt.Sprintf("%s-of-user-%d", launcher, user), func(t *testing.T) {
				for _, x := range []struct{ profile, want string }{
					{"", "read /secret/file: \"secret\n\"\n"},
					{profile, "read /secret/file: Permission denied\n"},
				} {
					k := c.Run(t, testenv.Spec{
						ID: strings.Trim(launcher+"-"+x.profile, "-"), Image: witness(t), Args: []string{module, "read", "/public/file", "read", "/secret/file", "wait"},
						Opts: append(opts, apparmor.WithProfile(x.profile)), RuntimeOptions: withLauncher(launcher),
					})
					k.Stdout.WaitFor(t, "waiting")
					if got, want := k.Stdout.String(), "read /public/file: \"public\n\"\n"+x.want+"waiting\n"; got != want {
						t.Errorf("under %q: output is %q, want %q", x.profile, got, want)
					}
					if r := k.Exec(t, "exec", module, "read", "/secret/file"); r.Stdout != x.want {
						t.Errorf("under %q: output of an exec is %q, want %q", x.profile, r.Stdout, x.want)
					}
					end(t, k)
				}
			})
		}
	}
}

// TestProfileWithoutSignals: the runner's threads are told one after the other before they
// are under it, which need not let one send a signal to another. runc's runners are under it
// from the beginning, and say what they would wait for.
func TestProfileWithoutSignals(t *testing.T) {
	c := start(t)
	const profile = "wazero-test-no-signals"
	load(t, profile, "file, signal (receive) peer=unconfined,")
	spec := testenv.Spec{
		ID: "quiet", Image: witness(t), Args: []string{module, "read", "/public/file", "wait"},
		Opts: []oci.SpecOpts{apparmor.WithProfile(profile)}, RuntimeOptions: withLauncher("direct"),
	}
	k := c.Run(t, spec)
	k.Stdout.WaitFor(t, "waiting")
	requireLabel(t, k.Pid(), enforced(profile))
	end(t, k)

	spec.ID, spec.RuntimeOptions = "refused", withLauncher("runc")
	k, err := c.Create(t, spec)
	if err == nil {
		err = k.Start(k.Context())
	}
	if err == nil || !strings.Contains(err.Error(), "signal peer=@{profile_name},") {
		t.Errorf("by runc: %v, which should say what the profile lacks", err)
	}
}

// TestProfileThatIsNotLoaded: the container is not made, rather than made without,
// whether its code is there or still to be compiled. That nothing is left is checked
// when containerd ends.
func TestProfileThatIsNotLoaded(t *testing.T) {
	c := start(t)
	const profile = "wazero-test-is-not-there"
	for _, code := range []string{"none", "compiled"} {
		for _, launcher := range append(launchers, "auto") {
			t.Run(launcher+"-"+code, func(t *testing.T) {
				k, err := c.Create(t, testenv.Spec{
					ID: launcher + "-" + code, Image: witness(t), Opts: []oci.SpecOpts{apparmor.WithProfile(profile)}, RuntimeOptions: withLauncher(launcher),
				})
				if err == nil {
					t.Fatalf("it was created, with process %d; its start says: %v", k.Pid(), k.Start(k.Context()))
				}
				t.Log(err)
				if launcher != "runc" && !strings.Contains(err.Error(), profile) {
					t.Errorf("the error does not name the profile: %v", err)
				}
			})
		}
		if code == "none" {
			k := c.Run(t, testenv.Spec{ID: "compiles", Image: witness(t), Args: []string{module, "read", "/public/file"}})
			if status := k.Finish(t); status != 0 {
				t.Errorf("exit status %d", status)
			}
		}
	}
}

// TestExecOfOtherProfile: an exec may have one of its own.
func TestExecOfOtherProfile(t *testing.T) {
	c := start(t)
	const container, other = "wazero-test-container", "wazero-test-exec"
	for _, profile := range []string{container, other} {
		load(t, profile, "capability, file, network, ptrace, signal, unix,")
	}
	for _, launcher := range launchers {
		t.Run(launcher, func(t *testing.T) {
			k := c.Run(t, testenv.Spec{
				ID: launcher, Image: witness(t), Args: []string{module, "wait"},
				Opts: []oci.SpecOpts{apparmor.WithProfile(container)}, RuntimeOptions: withLauncher(launcher),
			})
			k.Stdout.WaitFor(t, "waiting")
			for _, profile := range []string{other, container} {
				execIn(t, k, func(pid uint32) { requireLabel(t, pid, enforced(profile)) }, apparmor.WithProfile(profile))
			}
			requireLabel(t, k.Pid(), enforced(container))
			end(t, k)
		})
	}
}

// TestUnconfined is the name that privileged containers have for no profile.
func TestUnconfined(t *testing.T) {
	c := start(t)
	for _, launcher := range append(launchers, "auto") {
		t.Run(launcher, func(t *testing.T) {
			k := c.Run(t, testenv.Spec{
				ID: launcher, Image: witness(t), Args: []string{module, "read", "/secret/file", "wait"},
				Opts: []oci.SpecOpts{apparmor.WithProfile("unconfined")}, RuntimeOptions: withLauncher(launcher),
			})
			k.Stdout.WaitFor(t, "waiting")
			if got := k.Stdout.String(); got != "read /secret/file: \"secret\n\"\nwaiting\n" {
				t.Errorf("output is %q", got)
			}
			requireLabel(t, k.Pid(), "unconfined")
			if launcher == "auto" {
				requireDirect(t, c, k.ID())
			}
			end(t, k)
		})
	}
}
