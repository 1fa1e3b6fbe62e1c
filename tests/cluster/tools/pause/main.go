// Command pause waits until it is stopped. Its process keeps the network namespace of a pod while the
// containers of the pod start and stop.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
