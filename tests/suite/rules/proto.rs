//! Names and numbers of the inventory service's protocol (contract section 3), compared with the compiled files of
//! `proto/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// Messages with the type and name of each field, in the order of the field numbers, which start at 1.
const MESSAGES: [(&str, &[&str]); 10] = [
    (
        "reservation.v1.ReleaseHoldRequest",
        &[
            "string reservation_id",
            "string event_id",
            "repeated string seat_ids",
            "int32 quantity",
            "string reason",
            "string idempotency_key",
        ],
    ),
    (
        "reservation.v1.ReleaseHoldResponse",
        &[
            "repeated common.v1.Seat released_seats",
            "reservation.v1.ReleaseStatus status",
            "google.protobuf.Timestamp released_at",
            "common.v1.Error error",
        ],
    ),
    (
        "reservation.v1.CommitReservationRequest",
        &[
            "string reservation_id",
            "string event_id",
            "repeated string seat_ids",
            "int32 quantity",
            "string payment_intent_id",
            "string user_id",
            "string idempotency_key",
        ],
    ),
    (
        "reservation.v1.CommitReservationResponse",
        &[
            "string order_id",
            "repeated common.v1.Seat sold_seats",
            "reservation.v1.CommitStatus status",
            "google.protobuf.Timestamp committed_at",
            "common.v1.Error error",
        ],
    ),
    (
        "reservation.v1.CheckAvailabilityRequest",
        &["string event_id", "repeated string seat_ids", "int32 quantity", "string section"],
    ),
    (
        "reservation.v1.CheckAvailabilityResponse",
        &[
            "bool available",
            "repeated common.v1.Seat available_seats",
            "repeated string unavailable_seat_ids",
            "int32 remaining_in_section",
            "common.v1.Error error",
        ],
    ),
    (
        "common.v1.Error",
        &[
            "common.v1.ErrorCode code",
            "string message",
            "string trace_id",
            "repeated common.v1.ErrorDetail details",
        ],
    ),
    ("common.v1.ErrorDetail", &["string field", "string reason", "string value"]),
    (
        "common.v1.Seat",
        &[
            "string id",
            "string section",
            "string row",
            "string number",
            "common.v1.Money price",
            "common.v1.SeatStatus status",
        ],
    ),
    ("common.v1.Money", &["int64 amount", "string currency"]),
];

/// Enums with the prefix of the value names and the values, in the order of their numbers, which start at 0.
const ENUMS: [(&str, &str, &[&str]); 4] = [
    ("common.v1.SeatStatus", "SEAT_STATUS_", &["UNSPECIFIED", "AVAILABLE", "RESERVED", "SOLD", "BLOCKED"]),
    (
        "reservation.v1.ReleaseStatus",
        "RELEASE_STATUS_",
        &["UNSPECIFIED", "SUCCESS", "ALREADY_RELEASED", "NOT_FOUND", "FAILED"],
    ),
    (
        "reservation.v1.CommitStatus",
        "COMMIT_STATUS_",
        &["UNSPECIFIED", "SUCCESS", "FAILED_PAYMENT", "FAILED_EXPIRED", "FAILED_CONFLICT"],
    ),
    (
        "common.v1.ErrorCode",
        "ERROR_CODE_",
        &[
            "UNSPECIFIED",
            "UNAUTHENTICATED",
            "FORBIDDEN",
            "UNAUTHORIZED",
            "INVALID_ARGUMENT",
            "NOT_FOUND",
            "ALREADY_EXISTS",
            "FAILED_PRECONDITION",
            "RATE_LIMITED",
            "QUOTA_EXCEEDED",
            "IDEMPOTENCY_REQUIRED",
            "IDEMPOTENCY_CONFLICT",
            "RESERVATION_EXPIRED",
            "PAYMENT_NOT_APPROVED",
            "INVENTORY_CONFLICT",
            "INSUFFICIENT_INVENTORY",
            "INTERNAL",
            "UNAVAILABLE",
            "TIMEOUT",
            "UPSTREAM_TIMEOUT",
            "UPSTREAM_ERROR",
            "DATA_CORRUPTION",
            "CONCURRENT_MODIFICATION",
        ],
    ),
];

const METHODS: [&str; 3] = ["CheckAvailability", "CommitReservation", "ReleaseHold"];

/// The files of the project, without those of Google.
fn files() -> Vec<FileDescriptorProto> {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let set = protox::compile(["reservation/v1/inventory.proto"], [proto]).unwrap();
    set.file.into_iter().filter(|file| !file.package().starts_with("google.")).collect()
}

/// The items that `of` returns for each file, by their full names.
fn named<T: Clone>(of: fn(&FileDescriptorProto) -> &[T], name: fn(&T) -> &str) -> BTreeMap<String, T> {
    let files = files();
    let all = files.iter().flat_map(|file| {
        let full_name = move |item: &T| format!("{}.{}", file.package(), name(item));
        of(file).iter().map(move |item| (full_name(item), item.clone()))
    });
    all.collect()
}

fn type_of(field: &FieldDescriptorProto) -> String {
    let base = match field.r#type() {
        Type::String => "string",
        Type::Int32 => "int32",
        Type::Int64 => "int64",
        Type::Bool => "bool",
        Type::Message | Type::Enum => field.type_name().trim_start_matches('.'),
        other => other.as_str_name(),
    };
    match field.label() {
        Label::Repeated => format!("repeated {base}"),
        _ => base.to_owned(),
    }
}

#[test]
fn the_files_define_the_two_packages_of_the_contract_in_proto3() {
    let files = files();
    let packages: BTreeSet<_> = files.iter().map(|file| file.package()).collect();
    assert_eq!(packages, ["common.v1", "reservation.v1"].into());
    assert!(files.iter().all(|file| file.syntax() == "proto3"));
}

#[test]
fn every_message_has_the_fields_and_field_numbers_of_the_contract() {
    let mut messages = named(|file| &file.message_type, DescriptorProto::name);
    for (name, fields) in MESSAGES {
        let message = messages.remove(name).unwrap_or_else(|| panic!("no message {name}"));
        let found = message.field.iter().map(|field| {
            assert!(field.oneof_index.is_none(), "{name}.{} is optional or in a oneof", field.name());
            (field.number(), format!("{} {}", type_of(field), field.name()))
        });
        let found: BTreeMap<_, _> = found.collect();
        let expected = (1..).zip(fields.iter().map(|field| (*field).to_owned()));
        assert_eq!(found, expected.collect(), "{name}");
    }
    assert!(messages.is_empty(), "not in the contract: {:?}", messages.keys());
}

#[test]
fn every_enum_has_the_values_and_numbers_of_the_contract() {
    let mut enums = named(|file| &file.enum_type, EnumDescriptorProto::name);
    for (name, prefix, values) in ENUMS {
        let found = enums.remove(name).unwrap_or_else(|| panic!("no enum {name}"));
        let found = found.value.iter().map(|value| (value.number(), value.name().to_owned()));
        let expected = (0..).zip(values.iter().map(|value| format!("{prefix}{value}")));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect(), "{name}");
    }
    assert!(enums.is_empty(), "not in the contract: {:?}", enums.keys());
}

#[test]
fn the_service_has_the_methods_of_the_contract() {
    let files = files();
    let services: Vec<_> = files.iter().flat_map(|file| &file.service).collect();
    let [service] = services[..] else { panic!("{services:?}") };
    assert_eq!(service.name(), "InventoryService");
    let methods: BTreeSet<_> = service.method.iter().map(|method| method.name()).collect();
    assert_eq!(methods, METHODS.into());
    for method in &service.method {
        let name = method.name();
        assert_eq!(method.input_type(), format!(".reservation.v1.{name}Request"));
        assert_eq!(method.output_type(), format!(".reservation.v1.{name}Response"));
        assert!(!method.client_streaming() && !method.server_streaming(), "{name}");
    }
}
