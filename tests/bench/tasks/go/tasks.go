// Go beside coir's task vocabulary. The argument is GOMAXPROCS: 1 for what coir does on one thread, 2 for what it does
// between two. Keys and method as in ../coir_tasks.cpp.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"time"
)

const (
	repetitions = 7
	capacity    = 128
	limit       = 1000
)

func measure(body func(n int), n int) float64 {
	var results []float64
	body(n)
	for i := 0; i < repetitions; i++ {
		start := time.Now()
		body(n)
		results = append(results, float64(time.Since(start).Nanoseconds())/float64(n))
	}
	sort.Float64s(results)
	return results[repetitions/2]
}

// A semaphore channel bounds how many run; results in the order of the input.
func mapOrdered(n int) {
	results := make([]int, n)
	room := make(chan struct{}, limit)
	var done sync.WaitGroup
	done.Add(n)
	for i := 0; i < n; i++ {
		room <- struct{}{}
		go func(i int) {
			results[i] = i
			<-room
			done.Done()
		}(i)
	}
	done.Wait()
}

func takeOne(c *[8]chan int) {
	select {
	case <-c[0]:
	case <-c[1]:
	case <-c[2]:
	case <-c[3]:
	case <-c[4]:
	case <-c[5]:
	case <-c[6]:
	case <-c[7]:
	}
}

func selectQueue(n int) {
	var c [8]chan int
	for i := range c {
		c[i] = make(chan int, capacity)
	}
	for i := 0; i < n; i++ {
		c[i%8] <- i
		takeOne(&c)
	}
}

func selectChannel(n int) {
	var c [8]chan int
	for i := range c {
		c[i] = make(chan int)
	}
	go func() {
		for i := 0; i < n; i++ {
			c[i%8] <- i
		}
	}()
	for i := 0; i < n; i++ {
		takeOne(&c)
	}
}

// `begin` is what each side does first.
func queue(n int, begin func()) {
	c := make(chan int, capacity)
	var done sync.WaitGroup
	done.Add(2)
	go func() {
		begin()
		for i := 0; i < n; i++ {
			c <- i
		}
		done.Done()
	}()
	go func() {
		begin()
		for i := 0; i < n; i++ {
			<-c
		}
		done.Done()
	}()
	done.Wait()
}

func main() {
	threads := 0
	if len(os.Args) == 2 {
		threads, _ = strconv.Atoi(os.Args[1])
	}
	if threads < 1 {
		fmt.Fprintf(os.Stderr, "usage: %s GOMAXPROCS\n", os.Args[0])
		os.Exit(2)
	}
	runtime.GOMAXPROCS(threads)
	out := map[string]interface{}{"contender": "go", "map": measure(mapOrdered, 1000000)}
	out["select_queue"] = measure(selectQueue, 1000000)
	out["select_channel"] = measure(selectChannel, 1000000)
	out["queue"] = measure(func(n int) { queue(n, func() {}) }, 2000000)
	if threads > 1 {
		out["queue_threads"] = measure(func(n int) { queue(n, runtime.LockOSThread) }, 200000)
	}
	text, _ := json.MarshalIndent(out, "", " ")
	fmt.Println(string(text))
}
