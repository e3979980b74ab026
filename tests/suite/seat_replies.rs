//! Contract section 3: what each reply of the inventory means for a release and for a commit.

use reservation_worker_local::Effect;
use tonic::Code;

use crate::table::{Kind, PATCH, Row, check, never_logged, patient};

mod tries;

/// What a reply means, as the contract's table has it.
#[derive(Clone, Copy, Debug)]
enum Means {
    Done,
    Transient,
    Reject,
}
use Means::{Done, Reject, Transient};

impl Means {
    fn outcome(self) -> &'static str {
        match self {
            Done => "success",
            Transient => "retried",
            Reject => "failed",
        }
    }

    /// Only what may pass is tried again.
    fn tries(self) -> usize {
        match self {
            Done | Reject => 1,
            Transient => 3,
        }
    }
}

/// A record whose inventory calls all meet this reply.
fn row(kind: Kind, reply: Effect, means: Means) -> Row {
    let calls = [vec![PATCH], vec![kind.seat_call(); means.tries()]].concat();
    Row::new(kind, format!("{reply:?}")).fault(kind.seat_call(), reply).gives(means.outcome(), calls)
}

/// Rows for each event type: `means` says what the reply means for a release and for a commit.
fn rows(reply: &Effect, release: Means, commit: Means) -> Vec<Row> {
    let of_kind = |kind| match kind {
        Kind::Approved => row(kind, reply.clone(), commit),
        _ => row(kind, reply.clone(), release),
    };
    Kind::ALL.into_iter().map(of_kind).collect()
}

const GRPC: [(Code, Means); 16] = [
    (Code::Cancelled, Transient),
    (Code::Unknown, Transient),
    (Code::InvalidArgument, Reject),
    (Code::DeadlineExceeded, Transient),
    (Code::NotFound, Reject),
    (Code::AlreadyExists, Done),
    (Code::PermissionDenied, Transient),
    (Code::ResourceExhausted, Transient),
    (Code::FailedPrecondition, Reject),
    (Code::Aborted, Transient),
    (Code::OutOfRange, Reject),
    (Code::Unimplemented, Reject),
    (Code::Internal, Transient),
    (Code::Unavailable, Transient),
    (Code::DataLoss, Reject),
    (Code::Unauthenticated, Transient),
];

/// By number: what a release and a commit make of the code, in a reply without a status.
const ERRORS: [(i32, &str, Means, Means); 23] = [
    (1, "UNAUTHENTICATED", Transient, Transient),
    (2, "FORBIDDEN", Transient, Transient),
    (3, "UNAUTHORIZED", Transient, Transient),
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
    (17, "UNAVAILABLE", Transient, Transient),
    (18, "TIMEOUT", Transient, Transient),
    (19, "UPSTREAM_TIMEOUT", Transient, Transient),
    (20, "UPSTREAM_ERROR", Transient, Transient),
    (21, "DATA_CORRUPTION", Reject, Reject),
    (22, "CONCURRENT_MODIFICATION", Transient, Transient),
    // Of a newer service: not understood, so never acknowledged.
    (99, "99", Transient, Transient),
];

#[tokio::test]
async fn each_grpc_code_is_done_transient_or_rejected() {
    let rows = GRPC.into_iter().flat_map(|(code, means)| {
        let reason = match means {
            Done => String::new(),
            _ => format!("inventory: {code:?}"),
        };
        let rows = rows(&Effect::grpc(code.into()), means, means);
        rows.into_iter().map(move |row| row.because(&reason))
    });
    let ran = check(&patient(&[]).await, rows).await;
    never_logged(&ran, Effect::MESSAGE);
}

#[tokio::test]
async fn each_status_of_a_release_is_done_or_transient() {
    let statuses = [
        (0, Done, ""),
        (1, Done, ""),
        (2, Done, ""),
        (3, Done, ""),
        (4, Transient, "RELEASE_STATUS_FAILED"),
        (9, Transient, "9"),
    ];
    let rows = statuses.into_iter().flat_map(|(status, means, reason)| {
        [Kind::Expired, Kind::Failed]
            .map(|kind| row(kind, Effect::reply(status, None), means).because(reason))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn each_status_of_a_commit_is_done_or_rejected() {
    let statuses = [
        (0, Done, ""),
        (1, Done, ""),
        (2, Reject, "COMMIT_STATUS_FAILED_PAYMENT"),
        (3, Reject, "COMMIT_STATUS_FAILED_EXPIRED"),
        (4, Reject, "COMMIT_STATUS_FAILED_CONFLICT"),
        // Of a newer service: not understood, so never acknowledged.
        (9, Transient, "9"),
    ];
    let rows = statuses.into_iter().map(|(status, means, reason)| {
        row(Kind::Approved, Effect::reply(status, None), means).because(reason)
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn each_error_code_in_a_reply_without_a_status_is_done_transient_or_rejected() {
    let rows = ERRORS.into_iter().flat_map(|(code, name, release, commit)| {
        let named = move |row: Row, means| match means {
            Done => row,
            _ => row.because(name),
        };
        let reply = Effect::reply(0, Some(code));
        let release =
            [Kind::Expired, Kind::Failed].map(|kind| named(row(kind, reply.clone(), release), release));
        let commit = named(row(Kind::Approved, reply.clone(), commit), commit);
        release.into_iter().chain([commit])
    });
    let ran = check(&patient(&[]).await, rows).await;
    never_logged(&ran, Effect::MESSAGE);
}

#[tokio::test]
async fn a_success_with_an_error_code_is_what_the_code_says() {
    let rows = ERRORS
        .into_iter()
        .flat_map(|(code, _, release, commit)| rows(&Effect::reply(1, Some(code)), release, commit));
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_failed_release_is_what_its_code_says_and_transient_without_one() {
    let rows = ERRORS.into_iter().flat_map(|(code, _, release, _)| {
        [Kind::Expired, Kind::Failed].map(|kind| row(kind, Effect::reply(4, Some(code)), release))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_refused_commit_is_rejected_whatever_its_code() {
    let rows = ERRORS.into_iter().flat_map(|(code, ..)| {
        [2, 3, 4].map(|status| row(Kind::Approved, Effect::reply(status, Some(code)), Reject))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_status_that_nobody_knows_is_never_done_and_yields_to_a_graver_code() {
    let rows = ERRORS.into_iter().flat_map(|(code, _, release, commit)| {
        let graver = |means| match means {
            Reject => Reject,
            _ => Transient,
        };
        rows(&Effect::reply(9, Some(code)), graver(release), graver(commit))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn a_reply_that_the_seats_are_released_or_unknown_is_done_with_the_code_for_that() {
    let rows = [(2, 6), (2, 5), (3, 5), (3, 6)].into_iter().flat_map(|(status, code)| {
        [Kind::Expired, Kind::Failed].map(|kind| row(kind, Effect::reply(status, Some(code)), Done))
    });
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn an_error_without_a_code_leaves_a_status_to_decide() {
    let release = [(1, Done), (2, Done), (3, Done), (4, Transient), (9, Transient)];
    let commit = [(1, Done), (2, Reject), (3, Reject), (4, Reject), (9, Transient)];
    let release = release.map(|(status, means)| row(Kind::Expired, Effect::reply(status, Some(0)), means));
    let commit = commit.map(|(status, means)| row(Kind::Approved, Effect::reply(status, Some(0)), means));
    check(&patient(&[]).await, release.into_iter().chain(commit)).await;
}

/// Success is a reply with neither status nor error; this one has an error, and a message in it.
#[tokio::test]
async fn an_error_without_a_code_in_a_reply_without_a_status_is_no_success() {
    let rows = rows(&Effect::reply(0, Some(0)), Transient, Transient);
    check(&patient(&[]).await, rows).await;
}

#[tokio::test]
async fn an_ok_without_a_message_is_no_success() {
    let rows = rows(&Effect::grpc(0), Transient, Transient);
    check(&patient(&[]).await, rows).await;
}
