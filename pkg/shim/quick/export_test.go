package quick

// For tests that compare with packages which import this one, or are compared with.
var (
	Sum256   = sum256
	Group    = group
	Members  = members
	Text     = text
	Quote    = quote
	MaxDepth = maxDepth
)

// Params is what start has read.
type Params struct {
	Modern                               bool
	GRPCAddress, TTRPCAddress, SocketDir string
	Debug                                bool
	Options                              Options
}

// ReadParams makes it of what s has.
func (s *Start) ReadParams() (Params, error) {
	p, err := s.readParams()
	return Params{p.modern, p.grpcAddress, p.ttrpcAddress, p.socketDir, p.debug, p.options}, err
}

// Answer is start's.
func Answer(modern bool, address string) []byte {
	p := params{modern: modern}
	return p.answer(address)
}
