package preview1

var environFunctions = []function{
	{"environ_get", "ii", environGet},
	{"environ_sizes_get", "ii", environSizesGet},
}

// environGet writes the environment: (environ: pointer to pointers, environ_buf:
// pointer to bytes). EFAULT.
func environGet(s *System, m memory, a arguments) Errno { return m.list(a.u32(0), a.u32(1), s.env) }

// environSizesGet writes what environ_get needs: (count, environ_buf_size). EFAULT.
func environSizesGet(s *System, m memory, a arguments) Errno {
	return m.sizes(a.u32(0), a.u32(1), s.env)
}
