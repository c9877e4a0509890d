package preview1

// Filetype is what a descriptor or a directory's entry is.
type Filetype uint8

// The types, in the order of the specification.
const (
	Unknown Filetype = iota
	BlockDevice
	CharacterDevice
	Directory
	RegularFile
	SocketDgram
	SocketStream
	SymbolicLink
)

// Fdflags are a descriptor's, as fdstat has them.
type Fdflags uint16

// The flags, in the order of the specification.
const (
	Append Fdflags = 1 << iota
	Dsync
	Nonblock
	Rsync
	Sync
	allFdflags = Append | Dsync | Nonblock | Rsync | Sync
)

// Oflags are path_open's.
type oflags uint16

const (
	oCreat oflags = 1 << iota
	oDirectory
	oExcl
	oTrunc
	allOflags = oCreat | oDirectory | oExcl | oTrunc
)

// lookupFollow makes path functions follow a symbolic link at the end.
const (
	lookupFollow   = 1 << 0
	allLookupflags = lookupFollow
)

// fstflags say which times to set, and to what.
const (
	setAtim = 1 << iota
	setAtimNow
	setMtim
	setMtimNow
	allFstflags = setAtim | setAtimNow | setMtim | setMtimNow
)

// whence of fd_seek.
const (
	whenceSet = iota
	whenceCur
	whenceEnd
)

// Clocks.
const (
	clockRealtime = iota
	clockMonotonic
	clockProcessCPU
	clockThreadCPU
)
