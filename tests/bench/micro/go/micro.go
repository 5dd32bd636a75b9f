// Go's micro benchmarks on one thread (GOMAXPROCS=1). Go has no semaphore in its standard library, so
// handover_sem is missing. Arguments, keys and method as in ../measure.h.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	sleeperCount  = 100000
	sleeperSpanUs = 100000
	repetitions   = 7
	warmRuns      = 3
	batch         = 10000 // spawn_10k_join_all
)

func median(values []float64) float64 {
	sort.Float64s(values)
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}

func measure(body func(n int), n int) float64 {
	var results []float64
	body(n)
	for i := 0; i < repetitions; i++ {
		start := time.Now()
		body(n)
		results = append(results, float64(time.Since(start).Nanoseconds())/float64(n))
	}
	return median(results)
}

func yieldAmong(goroutines int) func(n int) {
	return func(n int) {
		var done sync.WaitGroup
		done.Add(goroutines)
		for i := 0; i < goroutines; i++ {
			go func() {
				for k := 0; k < n/goroutines; k++ {
					runtime.Gosched()
				}
				done.Done()
			}()
		}
		done.Wait()
	}
}

func spawnJoin(n int) {
	for i := 0; i < n; i++ {
		var done sync.WaitGroup
		done.Add(1)
		go done.Done()
		done.Wait()
	}
}

func spawnJoinAll(n int) {
	for started := 0; started < n; started += batch {
		var done sync.WaitGroup
		done.Add(batch)
		for i := 0; i < batch; i++ {
			go done.Done()
		}
		done.Wait()
	}
}

func handoverCond(n int) {
	var mutex sync.Mutex
	var done sync.WaitGroup
	changed := sync.NewCond(&mutex)
	turn := 0
	side := func(me int) {
		mutex.Lock()
		for i := 0; i < n; i++ {
			for turn != me {
				changed.Wait()
			}
			turn = 1 - me
			changed.Signal()
		}
		mutex.Unlock()
		done.Done()
	}
	done.Add(2)
	go side(0)
	go side(1)
	done.Wait()
}

func handoverChannel(n int) {
	var done sync.WaitGroup
	toPing, toPong := make(chan int), make(chan int)
	done.Add(2)
	go func() {
		for i := 0; i < n; i++ {
			toPong <- i
			<-toPing
		}
		done.Done()
	}()
	go func() {
		for i := 0; i < n; i++ {
			toPing <- <-toPong
		}
		done.Done()
	}()
	done.Wait()
}

var uncontended sync.Mutex

func lockUnlock(n int) {
	for i := 0; i < n; i++ {
		uncontended.Lock()
		uncontended.Unlock() //nolint:staticcheck // the empty section is what is measured
	}
}

func switches(out map[string]interface{}) {
	out["yield_2"] = measure(yieldAmong(2), 1000000)
	out["yield_1000"] = measure(yieldAmong(1000), 4000000)
	out["spawn_join"] = measure(spawnJoin, 200000)
	out["spawn_10k_join_all"] = measure(spawnJoinAll, 20*batch)
	out["handover_cond"] = measure(handoverCond, 200000)
	out["handover_channel"] = measure(handoverChannel, 200000)
	out["mutex"] = measure(lockUnlock, 10000000)
}

func sleeperTimes() []time.Duration {
	times := make([]time.Duration, sleeperCount)
	state := uint64(42)
	for i := range times {
		times[i] = time.Duration(i*sleeperSpanUs/sleeperCount) * time.Microsecond
	}
	for i := sleeperCount - 1; i > 0; i-- {
		state = state*6364136223846793005 + 1442695040888963407
		j := int((state >> 33) % uint64(i+1))
		times[i], times[j] = times[j], times[i]
	}
	return times
}

func runSleepers(times []time.Duration, check bool) (early int) {
	var done sync.WaitGroup
	done.Add(len(times))
	for _, t := range times {
		if check {
			go func(t time.Duration) {
				start := time.Now()
				time.Sleep(t)
				if time.Since(start) < t {
					early++ // one thread, no preemption inside: no race that could hide a miss
				}
				done.Done()
			}(t)
		} else {
			go func(t time.Duration) {
				time.Sleep(t)
				done.Done()
			}(t)
		}
	}
	done.Wait()
	return early
}

func cpuMs() float64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
}

func sleepers(out map[string]interface{}) {
	times := sleeperTimes()
	var walls, cpus []float64
	ms := func(start time.Time) float64 { return float64(time.Since(start).Nanoseconds()) / 1e6 }
	start := time.Now()
	runSleepers(times, false)
	out["sleepers_cold_wall_ms"] = ms(start)
	for i := 0; i < warmRuns; i++ {
		cpu := cpuMs()
		start = time.Now()
		runSleepers(times, false)
		walls = append(walls, ms(start))
		cpus = append(cpus, cpuMs()-cpu)
	}
	out["sleepers_wall_ms"] = median(walls)
	out["sleepers_cpu_ms"] = median(cpus)
	out["sleepers_early"] = runSleepers(times, true)
}

func memory() (rss, pageTables float64) {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			rss = kib * 1024
		case "VmPTE:":
			pageTables = kib * 1024
		}
	}
	return
}

func rss(out map[string]interface{}, count int) {
	open := make(chan struct{})
	parked := 0
	var done sync.WaitGroup
	done.Add(count)
	rssBefore, tablesBefore := memory()
	for i := 0; i < count; i++ {
		go func() {
			parked++
			<-open
			done.Done()
		}()
	}
	for parked < count {
		runtime.Gosched()
	}
	rssAfter, tablesAfter := memory()
	out["rss_bytes"] = (rssAfter - rssBefore) / float64(count)
	out["page_table_bytes"] = (tablesAfter - tablesBefore) / float64(count)
	close(open)
	done.Wait()
}

func main() {
	runtime.GOMAXPROCS(1)
	out := map[string]interface{}{"contender": "go"}
	what := "switches"
	if len(os.Args) > 1 {
		what = os.Args[1]
	}
	count := 0
	if len(os.Args) > 2 {
		count, _ = strconv.Atoi(os.Args[2])
	}
	switch {
	case what == "switches":
		switches(out)
	case what == "sleepers":
		sleepers(out)
	case what == "rss" && count > 0:
		rss(out, count)
	default:
		fmt.Fprintf(os.Stderr, "usage: %s switches | sleepers | rss N\n", os.Args[0])
		os.Exit(2)
	}
	text, _ := json.MarshalIndent(out, "", " ")
	fmt.Println(string(text))
}
