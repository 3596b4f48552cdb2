package bench

import "testing"

func TestBusyTicks(t *testing.T) {
	if got := busyTicks("cpu  100 20 30 4000 500 6 7 8 90 10"); got != 171 {
		t.Errorf("%d ticks, want 171", got)
	}
	if machineTime() <= 0 || waitedTime() < 0 || processorTime() <= 0 {
		t.Errorf("machine %v, waited %v, process %v", machineTime(), waitedTime(), processorTime())
	}
}
