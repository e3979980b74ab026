//! The examples at the end of the help texts.

pub(super) const ALL: &str = "\
Examples:
  export STACK=reservation-worker-prod AWS_REGION=ap-northeast-2
  dead-letters list --group-by reason
  dead-letters list --reason inventory_unavailable --what-if
  dead-letters plan --action redrive --what-if --prediction would-succeed
  dead-letters apply plan.json --rate 50 --stop-at 10

Exit status:
  0  done
  1  an error, or not everything could be done
  2  wrong arguments
  3  stopped, because too many redriven letters were dead again
  130  interrupted; the letters are visible again (after a second signal: when --visibility-timeout has passed)";

pub(super) const LIST: &str = "\
Examples:
  dead-letters list
  dead-letters list --group-by day
  dead-letters list --type payment.approved --older-than 1h --what-if
  dead-letters list --output json | jq -r '.[].reservation_id'";

pub(super) const PLAN: &str = "\
Examples:
  dead-letters plan --action redrive --reason inventory_unavailable
  dead-letters plan --action redrive --what-if --prediction would-succeed
  dead-letters plan --action delete --out refunded.json \\
    --message 0e6f2ad1-3b4c-4d5e-8f90-a1b2c3d4e5f6
  dead-letters plan --action backup --older-than 10d";

pub(super) const APPLY: &str = "\
Examples:
  dead-letters apply plan.json --rate 20
  dead-letters apply refunded.json --backup refunded.jsonl
  dead-letters apply plan.json --allow-reason paid_but_expired";

pub(super) const RESTORE: &str = "\
Examples:
  dead-letters restore deleted.jsonl
  dead-letters restore refunded.jsonl --allow-reason paid_but_expired \\
    --message 0e6f2ad1-3b4c-4d5e-8f90-a1b2c3d4e5f6";

pub(super) const EXPORT: &str = "\
Examples:
  dead-letters export --reservation rsv_01JCN4T7Q2 --out letters.jsonl
  dead-letters export --message 0e6f2ad1-3b4c-4d5e-8f90-a1b2c3d4e5f6 \\
    --as-lambda-event --out event.json
  cargo lambda invoke --data-file event.json";

pub(super) const UNDELIVERED: &str = "\
Examples:
  dead-letters undelivered list
  dead-letters undelivered plan --action redrive --what-if
  dead-letters undelivered apply plan.json";

/// All of them.
#[cfg(test)]
pub(super) const EACH: [&str; 7] = [ALL, LIST, PLAN, APPLY, RESTORE, EXPORT, UNDELIVERED];
