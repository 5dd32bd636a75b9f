// The echo server in Go, on one thread (GOMAXPROCS=1): a goroutine per connection.
//
//	echo <port> <bufsize>
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"
)

const life = 600 * time.Second // a server left behind ends by itself

func echo(connection net.Conn, bufferSize int) {
	defer connection.Close()
	buffer := make([]byte, bufferSize)
	for {
		n, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err = connection.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) < 3 {
		fmt.Fprintf(os.Stderr, "usage: %s <port> <bufsize>\n", os.Args[0])
		os.Exit(2)
	}
	bufferSize, err := strconv.Atoi(os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	time.AfterFunc(life, func() { os.Exit(1) })
	fmt.Println("ready")
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		// Go alone sets TCP_NODELAY by itself; nobody else here does.
		_ = connection.(*net.TCPConn).SetNoDelay(false)
		go echo(connection, bufferSize)
	}
}
