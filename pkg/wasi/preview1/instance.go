package preview1

// SetEnviron gives a guest that has not started yet its environment, as KEY=VALUE. The
// error is a sentence about a variable that cannot be passed on.
func (s *System) SetEnviron(env []string) error {
	if err := checkStrings("environment variable", env); err != nil {
		return err
	}
	s.env = named(env)
	return nil
}
