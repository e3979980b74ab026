//! The queue that the records came from.

use aws_sdk_sqs::config::Region;

/// What a call to SQS needs to know about a queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Queue {
    pub(super) url: String,
    /// `None` means the region of the environment.
    pub(super) region: Option<Region>,
}

impl Queue {
    /// The queue at `url` if one is set, otherwise the one that the ARN names. The region is that of the ARN in both
    /// cases.
    pub(super) fn of(url: Option<&str>, arn: Option<&str>) -> Option<Self> {
        let from_arn = arn.and_then(Self::from_arn);
        let Some(url) = url else { return from_arn };
        Some(Self { url: url.to_owned(), region: from_arn.and_then(|queue| queue.region) })
    }

    /// The queue of an ARN `arn:<partition>:sqs:<region>:<account>:<name>`.
    fn from_arn(arn: &str) -> Option<Self> {
        let parts: Vec<_> = arn.split(':').collect();
        let ["arn", partition, "sqs", region, account, name] = parts[..] else { return None };
        let suffix = match partition {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            "aws-iso" => "c2s.ic.gov",
            "aws-iso-b" => "sc2s.sgov.gov",
            "aws-iso-e" => "cloud.adc-e.uk",
            "aws-iso-f" => "csp.hci.ic.gov",
            _ => "amazonaws.com",
        };
        let url = format!("https://sqs.{region}.{suffix}/{account}/{name}");
        Some(Self { url, region: Some(Region::new(region.to_owned())) })
    }
}
