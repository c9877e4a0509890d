package preview1

var pathFunctions = []function{}
