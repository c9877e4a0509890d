package wasmbin

import "fmt"

// each calls f for every element of a vector.
func (r *reader) each(f func() error) error {
	n, err := r.count()
	if err != nil {
		return err
	}
	for range n {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

func (m *Module) parseTypes(r *reader) error {
	return r.each(func() error {
		form, err := r.byte()
		if err != nil {
			return err
		}
		switch form {
		case 0x60: // function
		case 0x4e, 0x4f, 0x50, 0x5e, 0x5f: // recursion group, subtypes, array, struct
			return &UnsupportedError{Feature: "garbage-collected types (the GC proposal)"}
		default:
			return fmt.Errorf("type form %#x is not known", form)
		}
		var t FuncType
		if t.Params, err = r.valueTypes(); err != nil {
			return err
		}
		if t.Results, err = r.valueTypes(); err != nil {
			return err
		}
		m.types = append(m.types, t)
		return nil
	})
}

func (r *reader) valueTypes() ([]byte, error) {
	var types []byte
	err := r.each(func() error {
		t, err := r.valueType()
		types = append(types, t)
		return err
	})
	return types, err
}

// valueType reads a value type; those of typed function references carry a heap
// type after their first byte.
func (r *reader) valueType() (byte, error) {
	t, err := r.byte()
	if err == nil && (t == 0x63 || t == 0x64) {
		err = r.skipSigned()
	}
	return t, err
}

func (m *Module) parseImports(r *reader) error {
	return r.each(func() error {
		var i Import
		var err error
		if i.Module, err = r.name(); err != nil {
			return err
		}
		if i.Name, err = r.name(); err != nil {
			return err
		}
		kind, err := r.byte()
		if err != nil {
			return err
		}
		i.Kind = Kind(kind)
		if err := m.importType(r, &i); err != nil {
			return err
		}
		m.Imports = append(m.Imports, i)
		return nil
	})
}

func (m *Module) importType(r *reader, i *Import) (err error) {
	switch i.Kind {
	case KindFunction:
		index, err := r.u32()
		if err != nil {
			return err
		}
		m.functions = append(m.functions, index)
		i.Type, err = m.typeAt(index)
		return err
	case KindTable:
		if _, err = r.valueType(); err != nil {
			return err
		}
		_, err = r.limits()
		return err
	case KindMemory:
		m.memories++
		_, err = r.limits()
		return err
	case KindGlobal:
		if _, err = r.valueType(); err != nil {
			return err
		}
		_, err = r.byte() // mutability
		return err
	case KindTag:
		return &UnsupportedError{Feature: "exceptions"}
	default:
		return fmt.Errorf("import %q.%q has the unknown kind %d", i.Module, i.Name, byte(i.Kind))
	}
}

// limits reads the limits of a table or memory and returns the minimum.
func (r *reader) limits() (uint64, error) {
	flags, err := r.byte()
	if err != nil {
		return 0, err
	}
	switch {
	case flags&0x04 != 0:
		return 0, &UnsupportedError{Feature: "64-bit memory (memory64)"}
	case flags&0x08 != 0:
		return 0, &UnsupportedError{Feature: "memory pages of another size (custom-page-sizes)"}
	case flags > 0x03:
		return 0, fmt.Errorf("limits have unknown flags %#x", flags)
	}
	least, err := r.u32()
	if err == nil && flags&0x01 != 0 {
		_, err = r.u32()
	}
	return uint64(least), err
}

func (m *Module) parseFunctions(r *reader) error {
	return r.each(func() error {
		index, err := r.u32()
		m.functions = append(m.functions, index)
		return err
	})
}

func (m *Module) parseMemories(r *reader) error {
	err := r.each(func() error {
		pages, err := r.limits()
		m.memories++
		m.MemoryPages += pages
		return err
	})
	if err == nil && m.memories > 1 {
		return &UnsupportedError{Feature: "several memories (multi-memory)"}
	}
	return err
}

func (m *Module) parseExports(r *reader) error {
	return r.each(func() error {
		name, err := r.name()
		if err != nil {
			return err
		}
		kind, err := r.byte()
		if err != nil {
			return err
		}
		index, err := r.u32()
		if err != nil {
			return err
		}
		e := Export{Name: name, Kind: Kind(kind)}
		if e.Kind == KindFunction {
			if uint64(index) >= uint64(len(m.functions)) {
				return fmt.Errorf("export %q is function %d of %d", name, index, len(m.functions))
			}
			if e.Type, err = m.typeAt(m.functions[index]); err != nil {
				return err
			}
		}
		m.Exports = append(m.Exports, e)
		return nil
	})
}

func (m *Module) typeAt(index uint32) (FuncType, error) {
	if uint64(index) >= uint64(len(m.types)) {
		return FuncType{}, fmt.Errorf("type %d of %d does not exist", index, len(m.types))
	}
	return m.types[index], nil
}

// parseCustom reads the name, and the section "target_features" as far as it
// goes: that is a hint, and nobody checks it. See
// https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md#target-features-section.
func (m *Module) parseCustom(r *reader) error {
	name, err := r.name()
	if err != nil || name != "target_features" {
		return err
	}
	_ = r.each(func() error {
		prefix, err := r.byte()
		if err != nil {
			return err
		}
		feature, err := r.name()
		if err == nil && prefix == '+' {
			m.TargetFeatures = append(m.TargetFeatures, feature)
		}
		return err
	})
	return nil
}
