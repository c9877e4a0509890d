package preview1

var pollFunctions = []function{}
