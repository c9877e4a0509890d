package preview1

var argsFunctions = []function{
	{"args_get", "ii", argsGet},
	{"args_sizes_get", "ii", argsSizesGet},
}

// argsGet writes the arguments: (argv: pointer to their pointers, argv_buf: pointer
// to their bytes). EFAULT.
func argsGet(s *System, m memory, a arguments) Errno { return m.list(a.u32(0), a.u32(1), s.args) }

// argsSizesGet writes what args_get needs: (argc, argv_buf_size). EFAULT.
func argsSizesGet(s *System, m memory, a arguments) Errno { return m.sizes(a.u32(0), a.u32(1), s.args) }
