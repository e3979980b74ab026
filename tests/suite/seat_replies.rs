//! Contract section 3: the class of each reply of the inventory, for a release and for a commit.

use reservation_worker::call::ReplyStatus;
use reservation_worker_local::Effect;
use tonic::Code;

use crate::table::{Kind, PATCH, Row, app_with_generous_limits, assert_never_logged, check_rows};

mod attempts;

/// The class of a reply, as in the table of the contract.
#[derive(Clone, Copy, Debug)]
enum Class {
    Done,
    Transient,
    Unavailable,
    Misconfigured,
    Reject,
}
use Class::{Done, Misconfigured, Reject, Transient, Unavailable};

impl Class {
    fn outcome(self) -> &'static str {
        match self {
            Done => "success",
            Transient | Unavailable | Misconfigured => "retried",
            Reject => "failed",
        }
    }

    /// The number of attempts. Only a transient or unavailable reply leads to further attempts.
    fn attempts(self) -> usize {
        match self {
            Done | Reject | Misconfigured => 1,
            Transient | Unavailable => 3,
        }
    }
}

/// A record whose inventory calls all get this reply.
fn row(kind: Kind, reply: Effect, class: Class) -> Row {
    let calls = [vec![PATCH], vec![kind.inventory_call(); class.attempts()]].concat();
    Row::new(kind, format!("{reply:?}")).fault(kind.inventory_call(), reply).expects(class.outcome(), calls)
}

/// One row per event type. `release` and `commit` are the classes of the reply for the two calls.
fn rows(reply: &Effect, release: Class, commit: Class) -> Vec<Row> {
    let row_of = |kind| match kind {
        Kind::Approved => row(kind, reply.clone(), commit),
        _ => row(kind, reply.clone(), release),
    };
    Kind::ALL.into_iter().map(row_of).collect()
}

const GRPC: [(Code, Class); 16] = [
    (Code::Cancelled, Transient),
    (Code::Unknown, Transient),
    (Code::InvalidArgument, Reject),
    (Code::DeadlineExceeded, Unavailable),
    (Code::NotFound, Reject),
    (Code::AlreadyExists, Done),
    (Code::PermissionDenied, Misconfigured),
    (Code::ResourceExhausted, Transient),
    (Code::FailedPrecondition, Reject),
    (Code::Aborted, Transient),
    (Code::OutOfRange, Reject),
    (Code::Unimplemented, Misconfigured),
    (Code::Internal, Transient),
    (Code::Unavailable, Unavailable),
    (Code::DataLoss, Reject),
    (Code::Unauthenticated, Misconfigured),
];

/// For each error code in a reply without a status: number, name, class for a release, class for a commit.
const ERRORS: [(i32, &str, Class, Class); 23] = [
    (1, "UNAUTHENTICATED", Misconfigured, Misconfigured),
    (2, "FORBIDDEN", Misconfigured, Misconfigured),
    (3, "UNAUTHORIZED", Misconfigured, Misconfigured),
    (4, "INVALID_ARGUMENT", Reject, Reject),
    (5, "NOT_FOUND", Done, Reject),
    (6, "ALREADY_EXISTS", Done, Done),
    (7, "FAILED_PRECONDITION", Reject, Reject),
    (8, "RATE_LIMITED", Transient, Transient),
    (9, "QUOTA_EXCEEDED", Transient, Transient),
    (10, "IDEMPOTENCY_REQUIRED", Reject, Reject),
    (11, "IDEMPOTENCY_CONFLICT", Transient, Transient),
    (12, "RESERVATION_EXPIRED", Reject, Reject),
    (13, "PAYMENT_NOT_APPROVED", Transient, Transient),
    (14, "INVENTORY_CONFLICT", Reject, Reject),
    (15, "INSUFFICIENT_INVENTORY", Reject, Reject),
    (16, "INTERNAL", Transient, Transient),
    (17, "UNAVAILABLE", Unavailable, Unavailable),
    (18, "TIMEOUT", Transient, Transient),
    (19, "UPSTREAM_TIMEOUT", Transient, Transient),
    (20, "UPSTREAM_ERROR", Transient, Transient),
    (21, "DATA_CORRUPTION", Reject, Reject),
    (22, "CONCURRENT_MODIFICATION", Transient, Transient),
    // A code of a newer service. It is not understood, so the record is never acknowledged.
    (99, "99", Transient, Transient),
];

#[tokio::test]
async fn each_grpc_code_is_classified_as_in_the_contract() {
    let rows = GRPC.into_iter().flat_map(|(code, class)| {
        let reason = match class {
            Done => String::new(),
            _ => format!("inventory: {}", ReplyStatus::Grpc(code)),
        };
        let rows = rows(&Effect::grpc(code.into()), class, class);
        rows.into_iter().map(move |row| row.reason_contains(&reason))
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    assert_never_logged(&run, Effect::MESSAGE);
}

#[tokio::test]
async fn each_status_of_a_release_is_classified_as_in_the_contract() {
    let statuses = [
        (0, Done, ""),
        (1, Done, ""),
        (2, Done, ""),
        (3, Done, ""),
        (4, Transient, "RELEASE_STATUS_FAILED"),
        (9, Transient, "9"),
    ];
    let rows = statuses.into_iter().flat_map(|(status, class, reason)| {
        [Kind::Expired, Kind::Failed]
            .map(|kind| row(kind, Effect::reply(status, None), class).reason_contains(reason))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn each_status_of_a_commit_is_classified_as_in_the_contract() {
    let statuses = [
        (0, Done, ""),
        (1, Done, ""),
        (2, Reject, "COMMIT_STATUS_FAILED_PAYMENT"),
        (3, Reject, "COMMIT_STATUS_FAILED_EXPIRED"),
        (4, Reject, "COMMIT_STATUS_FAILED_CONFLICT"),
        // A status of a newer service. It is not understood, so the record is never acknowledged.
        (9, Transient, "9"),
    ];
    let rows = statuses.into_iter().map(|(status, class, reason)| {
        row(Kind::Approved, Effect::reply(status, None), class).reason_contains(reason)
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn each_error_code_in_a_reply_without_a_status_is_classified_as_in_the_contract() {
    let rows = ERRORS.into_iter().flat_map(|(code, name, release, commit)| {
        let with_reason = move |row: Row, class| match class {
            Done => row,
            _ => row.reason_contains(name),
        };
        let reply = Effect::reply(0, Some(code));
        let release =
            [Kind::Expired, Kind::Failed].map(|kind| with_reason(row(kind, reply.clone(), release), release));
        let commit = with_reason(row(Kind::Approved, reply.clone(), commit), commit);
        release.into_iter().chain([commit])
    });
    let run = check_rows(&app_with_generous_limits(&[]).await, rows).await;
    assert_never_logged(&run, Effect::MESSAGE);
}

#[tokio::test]
async fn a_success_with_an_error_code_has_the_class_of_the_code() {
    let rows = ERRORS
        .into_iter()
        .flat_map(|(code, _, release, commit)| rows(&Effect::reply(1, Some(code)), release, commit));
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_failed_release_with_an_error_code_has_the_class_of_the_code() {
    let rows = ERRORS.into_iter().flat_map(|(code, _, release, _)| {
        [Kind::Expired, Kind::Failed].map(|kind| row(kind, Effect::reply(4, Some(code)), release))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_failed_commit_is_rejected_with_every_error_code() {
    let rows = ERRORS.into_iter().flat_map(|(code, ..)| {
        [2, 3, 4].map(|status| row(Kind::Approved, Effect::reply(status, Some(code)), Reject))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn an_unknown_status_is_transient_unless_the_error_code_is_rejected() {
    let rows = ERRORS.into_iter().flat_map(|(code, _, release, commit)| {
        let done_is_transient = |class| match class {
            Done => Transient,
            worse => worse,
        };
        rows(&Effect::reply(9, Some(code)), done_is_transient(release), done_is_transient(commit))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn already_released_and_not_found_are_done_also_with_a_matching_error_code() {
    let rows = [(2, 6), (2, 5), (3, 5), (3, 6)].into_iter().flat_map(|(status, code)| {
        [Kind::Expired, Kind::Failed].map(|kind| row(kind, Effect::reply(status, Some(code)), Done))
    });
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn an_error_without_a_code_in_a_reply_with_a_status_has_the_class_of_the_status() {
    let release = [(1, Done), (2, Done), (3, Done), (4, Transient), (9, Transient)];
    let commit = [(1, Done), (2, Reject), (3, Reject), (4, Reject), (9, Transient)];
    let release = release.map(|(status, class)| row(Kind::Expired, Effect::reply(status, Some(0)), class));
    let commit = commit.map(|(status, class)| row(Kind::Approved, Effect::reply(status, Some(0)), class));
    check_rows(&app_with_generous_limits(&[]).await, release.into_iter().chain(commit)).await;
}

/// A reply with neither a status nor an error is a success. This reply has an error with a message and
/// without a code.
#[tokio::test]
async fn an_error_without_a_code_in_a_reply_without_a_status_is_transient() {
    let rows = rows(&Effect::reply(0, Some(0)), Transient, Transient);
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}

#[tokio::test]
async fn a_grpc_ok_without_a_message_is_transient() {
    let rows = rows(&Effect::grpc(0), Transient, Transient);
    check_rows(&app_with_generous_limits(&[]).await, rows).await;
}
