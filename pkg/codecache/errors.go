package codecache

// Refused is the error of a module that cannot be compiled, or not within the
// bounds of the compiler: by whom and how often does not matter.
type Refused struct {
	// Reason is a sentence for the user.
	Reason string
}

func (r *Refused) Error() string { return r.Reason }

// Unavailable is the error when no compiler can be had on this node. It says
// nothing about the module.
type Unavailable struct {
	// Reason is a sentence for the user.
	Reason string
}

func (u *Unavailable) Error() string { return u.Reason }
