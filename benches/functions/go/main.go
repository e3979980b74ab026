// A plain Go function with the same two calls, as a good Go developer writes it in an afternoon: a pool of workers,
// one log line per record, one line with metrics per batch, and a partial batch response. It has no retries, breakers,
// order of records, visibility time-outs or traces. It knows only the event that the benchmark sends.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"go_function/proto"
)

//go:generate protoc -I ../../../proto --go_out=. --go-grpc_out=. --go_opt=module=go_function --go-grpc_opt=module=go_function --go_opt=Mcommon/v1/common.proto=go_function/proto,Mreservation/v1/inventory.proto=go_function/proto --go-grpc_opt=Mcommon/v1/common.proto=go_function/proto,Mreservation/v1/inventory.proto=go_function/proto common/v1/common.proto reservation/v1/inventory.proto

const callTimeout = 10 * time.Second

type event struct {
	Type   string `json:"detail-type"`
	Detail struct {
		ReservationID string   `json:"reservation_id"`
		EventID       string   `json:"event_id"`
		SeatIDs       []string `json:"seat_ids"`
	} `json:"detail"`
}

type function struct {
	concurrency    int
	http           *http.Client
	reservationAPI string
	inventory      proto.InventoryServiceClient
	log            *slog.Logger
}

func main() {
	concurrency, err := strconv.Atoi(os.Getenv("WORKER_CONCURRENCY"))
	if err != nil {
		log.Fatalf("WORKER_CONCURRENCY: %v", err)
	}
	connection, err := grpc.NewClient(os.Getenv("INVENTORY_GRPC_ADDR"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatalf("INVENTORY_GRPC_ADDR: %v", err)
	}
	// The default keeps only two idle connections per host.
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = concurrency, concurrency
	f := &function{
		concurrency:    concurrency,
		http:           &http.Client{Transport: transport, Timeout: callTimeout},
		reservationAPI: os.Getenv("RESERVATION_API_BASE"),
		inventory:      proto.NewInventoryServiceClient(connection),
		log:            slog.New(slog.NewJSONHandler(os.Stdout, nil)),
	}
	lambda.Start(f.handle)
}

func (f *function) handle(ctx context.Context, batch events.SQSEvent) (events.SQSEventResponse, error) {
	start := time.Now()
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	records := make(chan events.SQSMessage)
	var pool sync.WaitGroup
	var failures sync.Mutex
	for range min(f.concurrency, len(batch.Records)) {
		pool.Go(func() {
			for record := range records {
				if f.process(ctx, record) != nil {
					failures.Lock()
					failure := events.SQSBatchItemFailure{ItemIdentifier: record.MessageId}
					response.BatchItemFailures = append(response.BatchItemFailures, failure)
					failures.Unlock()
				}
			}
		})
	}
	for _, record := range batch.Records {
		records <- record
	}
	close(records)
	pool.Wait()
	return response, writeMetrics(len(batch.Records), len(response.BatchItemFailures), time.Since(start))
}

// process does the work of a record and logs the result.
func (f *function) process(ctx context.Context, record events.SQSMessage) error {
	start := time.Now()
	var event event
	err := json.Unmarshal([]byte(record.Body), &event)
	if err == nil {
		err = f.release(ctx, event)
	}
	attributes := []slog.Attr{
		slog.String("event_type", event.Type),
		slog.String("reservation_id", event.Detail.ReservationID),
		slog.String("event_id", event.Detail.EventID),
		slog.String("message_id", record.MessageId),
		slog.String("attempt", record.Attributes["ApproximateReceiveCount"]),
		slog.String("trace_header", record.Attributes["AWSTraceHeader"]),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1e3),
	}
	if lambdaContext, ok := lambdacontext.FromContext(ctx); ok {
		attributes = append(attributes, slog.String("request_id", lambdaContext.AwsRequestID))
	}
	if err != nil {
		f.log.LogAttrs(ctx, slog.LevelError, "record failed", append(attributes, slog.Any("error", err))...)
	} else {
		f.log.LogAttrs(ctx, slog.LevelInfo, "record processed", attributes...)
	}
	return err
}

// release ends the reservation, and then releases its seats.
func (f *function) release(ctx context.Context, event event) error {
	if event.Type != "reservation.expired" {
		return fmt.Errorf("unknown type %q", event.Type)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := f.updateStatus(ctx, event.Detail.ReservationID, "EXPIRED"); err != nil {
		return fmt.Errorf("reservation API: %w", err)
	}
	reply, err := f.inventory.ReleaseHold(ctx, &proto.ReleaseHoldRequest{
		ReservationId:  event.Detail.ReservationID,
		EventId:        event.Detail.EventID,
		SeatIds:        event.Detail.SeatIDs,
		Quantity:       int32(len(event.Detail.SeatIDs)),
		Reason:         "EXPIRED",
		IdempotencyKey: event.Detail.ReservationID + ":RELEASE",
	})
	if err != nil {
		return fmt.Errorf("inventory: %w", err)
	}
	if reply.Error != nil {
		return fmt.Errorf("inventory: %v", reply.Error)
	}
	return nil
}

func (f *function) updateStatus(ctx context.Context, reservationID, status string) error {
	body, err := json.Marshal(map[string]string{"status": status})
	if err != nil {
		return err
	}
	address := f.reservationAPI + "/internal/reservations/" + url.PathEscape(reservationID)
	request, err := http.NewRequestWithContext(ctx, http.MethodPatch, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", reservationID+":"+status)
	response, err := f.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// The connection can be used again only if the body was read.
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// writeMetrics logs the metrics of a batch in CloudWatch's embedded metric format.
func writeMetrics(records, failures int, duration time.Duration) error {
	type metric struct{ Name, Unit string }
	metrics := []metric{
		{"worker_batch_size", "Count"},
		{"worker_failures_total", "Count"},
		{"worker_batch_duration_seconds", "Seconds"},
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"_aws": map[string]any{
			"Timestamp": time.Now().UnixMilli(),
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "TrafficTacos/GoFunction", "Dimensions": [][]string{{}}, "Metrics": metrics,
			}},
		},
		"worker_batch_size":             records,
		"worker_failures_total":         failures,
		"worker_batch_duration_seconds": duration.Seconds(),
	})
}
