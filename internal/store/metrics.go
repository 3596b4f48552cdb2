package store

import "github.com/prometheus/client_golang/prometheus"

// Collector exports the store's metrics to Prometheus, reading them from Pebble
// at each scrape. It must not be scraped after Close.
type Collector struct{ s *Store }

var _ prometheus.Collector = Collector{}

// Collector returns the collector of s.
func (s *Store) Collector() Collector { return Collector{s} }

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("purser_store_"+name, help, nil, nil)
}

// metrics are all metrics, in the order in which values returns theirs.
var metrics = [...]struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}{
	{desc("memtable_bytes", "Memory of rows that are not flushed yet."), prometheus.GaugeValue},
	{desc("compaction_debt_bytes", "Estimate of what compaction still has to rewrite."), prometheus.GaugeValue},
	{desc("l0_files", "Tables in level 0."), prometheus.GaugeValue},
	{desc("read_amplification", "Sorted runs that a read may have to look into."), prometheus.GaugeValue},
	{desc("disk_bytes", "Size of the database on disk."), prometheus.GaugeValue},
	{desc("block_cache_bytes", "Memory of cached blocks."), prometheus.GaugeValue},
	{desc("block_cache_hits_total", "Blocks found in the cache."), prometheus.CounterValue},
	{desc("block_cache_misses_total", "Blocks read from disk."), prometheus.CounterValue},
	{desc("flushes_total", "Flushes of memtables."), prometheus.CounterValue},
	{desc("compactions_total", "Compactions."), prometheus.CounterValue},
	{desc("ingests_total", "Ingested tables: checkpoints and idempotency runs."), prometheus.CounterValue},
	{desc("flushed_bytes_total", "Bytes written by flushes."), prometheus.CounterValue},
	{desc("compacted_bytes_total", "Bytes written by compactions."), prometheus.CounterValue},
	{desc("stalls_total", "Times that commits had to wait for the disk."), prometheus.CounterValue},
	{desc("slow_disk_operations_total", "Disk operations slower than the threshold."), prometheus.CounterValue},
	{desc("damaged_tables_total", "Reads that met a damaged table."), prometheus.CounterValue},
}

// Describe implements prometheus.Collector.
func (c Collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	for i, value := range c.s.values() {
		out <- prometheus.MustNewConstMetric(metrics[i].desc, metrics[i].kind, value)
	}
}

func (s *Store) values() [len(metrics)]float64 {
	m := s.db.Metrics()
	total := m.Total()
	return [len(metrics)]float64{
		float64(m.MemTable.Size),
		float64(m.Compact.EstimatedDebt),
		float64(m.Levels[0].TablesCount),
		float64(m.ReadAmp()),
		float64(m.DiskSpaceUsage()),
		float64(m.BlockCache.Size),
		float64(m.BlockCache.Hits),
		float64(m.BlockCache.Misses),
		float64(m.Flush.Count),
		float64(m.Compact.Count),
		float64(m.Ingest.Count),
		float64(total.TableBytesFlushed),
		float64(total.TableBytesCompacted),
		float64(s.events.stalls.Load()),
		float64(s.events.slow.Load()),
		float64(s.events.corrupted.Load()),
	}
}
