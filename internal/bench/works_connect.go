//go:build linux

package main

import "time"

// This file is what is done with connections that come, and come back.

func (r *runner) connects(peer string) (sample, error) {
	s, err := open(peer)
	if err != nil {
		return nil, err
	}
	defer s.close()
	n := r.of(5000)
	before, err := s.server.do(order{Do: "mark"})
	if err != nil {
		return nil, err
	}
	a, err := s.load.do(order{Do: "connect", N: n, Topics: 1, Each: 1})
	if err != nil {
		return nil, err
	}
	after, err := s.server.do(order{Do: "mark"})
	return sample{"seconds": a.Took, "CPU µs each": float64(after.CPU-before.CPU) / 1e3 / float64(n)}, err
}

func (r *runner) resumes(peer string) (sample, error) {
	s, err := open(peer, "history")
	if err != nil {
		return nil, err
	}
	defer s.close()
	n := r.of(5000)
	all := order{Do: "connect", N: n, Topics: 1, Each: 1}
	if _, err := s.load.do(all); err != nil {
		return nil, err
	}
	few := order{Do: "burst", N: 3, Size: 128, Topics: 1}
	if _, _, err := s.measured(few, few.N*n, 10); err != nil {
		return nil, err
	}
	if _, err := s.load.do(order{Do: "drop"}); err != nil {
		return nil, err
	}
	few.N = 20
	before, err := s.server.do(few)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if _, err := s.load.do(all); err != nil {
		return nil, err
	}
	a, err := s.load.do(order{Do: "expect", N: few.N * n, Seconds: 20})
	if err != nil {
		return nil, err
	}
	took := time.Since(begin).Seconds()
	after, err := s.server.do(order{Do: "mark"})
	return sample{
		"seconds": took, "CPU µs each": float64(after.CPU-before.CPU) / 1e3 / float64(n),
		"missed for good": float64(few.N*n) - float64(a.Got),
	}, err
}

// behind is resumes with many topics, of which each connection missed a few messages among many.
func (r *runner) behind(peer string) (sample, error) {
	s, err := open(peer, "history")
	if err != nil {
		return nil, err
	}
	defer s.close()
	conns, topics, each := r.of(1000), r.of(5000), 50
	all := order{Do: "connect", N: conns, Topics: topics, Each: each}
	begin, err := s.server.do(order{Do: "mark"})
	if err != nil {
		return nil, err
	}
	if _, err := s.load.do(all); err != nil {
		return nil, err
	}
	connected, err := s.server.do(order{Do: "mark"})
	if err != nil {
		return nil, err
	}
	one := order{Do: "burst", N: topics, Size: 128, Topics: topics} // everybody has a place
	if _, _, err := s.measured(one, conns*each, 20); err != nil {
		return nil, err
	}
	if _, err := s.load.do(order{Do: "drop"}); err != nil {
		return nil, err
	}
	one.N = 20 * topics
	before, err := s.server.do(one)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if _, err := s.load.do(all); err != nil {
		return nil, err
	}
	expected := one.N / topics * conns * each
	a, err := s.load.do(order{Do: "expect", N: expected, Seconds: 30})
	if err != nil {
		return nil, err
	}
	took := time.Since(start).Seconds()
	after, err := s.server.do(order{Do: "mark"})
	cpu := float64(after.CPU - before.CPU)
	return sample{
		"seconds": took, "CPU s": cpu / 1e9, "CPU s beyond connecting": (cpu - float64(connected.CPU-begin.CPU)) / 1e9,
		"missed for good": float64(expected) - float64(a.Got),
	}, err
}
