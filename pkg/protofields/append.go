package protofields

import "math"

// AppendNumbers appends a repeated field of varints; nothing if there are none.
func AppendNumbers(message []byte, n Number, values []uint64) []byte {
	if len(values) == 0 {
		return message
	}
	var packed []byte
	for _, value := range values {
		packed = appendVarint(packed, value)
	}
	return AppendString(message, n, packed)
}

// AppendDouble appends a number of the type double; nothing for 0.
func AppendDouble(message []byte, n Number, value float64) []byte {
	if value == 0 {
		return message
	}
	message = appendVarint(message, uint64(n)<<3|typeFixed64)
	// Not by encoding/binary, which needs reflect: see package shim/quick.
	bits := math.Float64bits(value)
	for shift := 0; shift < 64; shift += 8 {
		message = append(message, byte(bits>>shift))
	}
	return message
}
