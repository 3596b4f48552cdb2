// Package nodetls makes the certificates of a cluster's nodes and turns them
// into TLS configurations that tell nodes apart.
//
// A certificate authority of the cluster's own signs one certificate per node.
// The node's id is in it as the URI purser://node/<id>. Both sides of a
// connection show a certificate, both check the other's against that authority
// alone, and whoever dials says which node it means. Host names are not checked:
// an address says where a node is at present, not which one it is.
//
// What it owns: the certificates in memory. A Config reads its files again when
// they changed, on the goroutine of a handshake; it starts none of its own. It
// never writes the files that it loads, and it never uses the system's roots,
// TLS below 1.3, or the resumption of sessions.
package nodetls
