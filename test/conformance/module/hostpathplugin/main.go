// A stand-in for the part of the CSI hostpath driver that specs of drivers use: in place of a driver it passes each
// connection to a socket in the pod on to one connection to a TCP port, which a spec reaches by port forwarding.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"strings"
)

func main() {
	endpoint := flag.String("endpoint", "", "socket, with or without unix://")
	proxy := flag.String("proxy-endpoint", "", "tcp://HOST:PORT")
	flag.Int("v", 0, "ignored")
	flag.Parse()
	path := strings.TrimPrefix(*endpoint, "unix://")
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		log.Fatal(err)
	}
	socket := listen("unix", path)
	port := listen("tcp", strings.TrimPrefix(*proxy, "tcp://"))
	for {
		inner := accept(socket)
		go pass(inner, accept(port))
	}
}

func listen(network, address string) net.Listener {
	l, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	return l
}

func accept(l net.Listener) net.Conn {
	c, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("connection to %s", l.Addr())
	return c
}

// pass copies both ways until one side ends.
func pass(a, b net.Conn) {
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			ended <- struct{}{}
		}()
	}
	<-ended
	a.Close()
	b.Close()
}
