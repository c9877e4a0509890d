package preview1

// Rights are what may be done with a descriptor, and with those that are opened
// through it ("rights" in the specification, with its bits).
type Rights uint64

// The rights, in the order of the specification.
const (
	FDDatasync Rights = 1 << iota
	FDRead
	FDSeek
	FDFdstatSetFlags
	FDSync
	FDTell
	FDWrite
	FDAdvise
	FDAllocate
	PathCreateDirectory
	PathCreateFile
	PathLinkSource
	PathLinkTarget
	PathOpen
	FDReaddir
	PathReadlink
	PathRenameSource
	PathRenameTarget
	PathFilestatGet
	PathFilestatSetSize
	PathFilestatSetTimes
	FDFilestatGet
	FDFilestatSetSize
	FDFilestatSetTimes
	PathSymlink
	PathRemoveDirectory
	PathUnlinkFile
	PollFDReadwrite
	SockShutdown
	SockAccept

	// allRights are all there are: what may come out of a directory.
	allRights = SockAccept<<1 - 1
)

// What descriptors of each kind can have at all.
const (
	rightsOfFile = FDDatasync | FDRead | FDSeek | FDFdstatSetFlags | FDSync | FDTell | FDWrite | FDAdvise | FDAllocate |
		FDFilestatGet | FDFilestatSetSize | FDFilestatSetTimes | PollFDReadwrite
	rightsOfStream    = FDRead | FDFdstatSetFlags | FDWrite | FDFilestatGet | FDFilestatSetTimes | PollFDReadwrite
	rightsOfDirectory = FDFdstatSetFlags | FDSync | FDDatasync | FDAdvise | PathCreateDirectory | PathCreateFile | PathLinkSource |
		PathLinkTarget | PathOpen | FDReaddir | PathReadlink | PathRenameSource | PathRenameTarget | PathFilestatGet |
		PathFilestatSetSize | PathFilestatSetTimes | FDFilestatGet | FDFilestatSetTimes | PathSymlink |
		PathRemoveDirectory | PathUnlinkFile
	rightsOfSocket   = rightsOfStream | SockShutdown
	rightsOfListener = FDFdstatSetFlags | FDFilestatGet | PollFDReadwrite | SockAccept | SockShutdown
)
