//! What the SDK's errors mean for a delivery.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ConnectorError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::ErrorMetadata;

use crate::failure::{Failure, Kind};

/// A call that failed, after the SDK's own attempts.
pub(crate) fn failure<E>(what: String, error: &SdkError<E, HttpResponse>) -> Failure
where
    E: Error + ProvideErrorMetadata + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let kind = match (error, error.code()) {
        (SdkError::DispatchFailure(_), _) => dispatch(error),
        (SdkError::ConstructionFailure(_), _) => Kind::Refused,
        // What other services say where S3 says RequestTimeTooSkewed.
        (_, Some(_)) if error.message().is_some_and(says_clock) => Kind::Clock,
        (_, code) => kind(code.unwrap_or_default(), status),
    };
    // Hosts and roles stand at the end of the chain.
    let mut why = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        _ => chain(error),
    };
    if let Some(status) = status.filter(|_| error.code().is_none()) {
        why = format!("HTTP status {status}: {why}");
    }
    Failure { kind, what, why }
}

fn says_clock(message: &str) -> bool {
    ["Signature expired", "Signature not yet current"].iter().any(|said| message.starts_with(said))
}

/// A call that was not answered: nobody knew who asks, or the line failed, maybe already where credentials were asked for.
fn dispatch(error: &(dyn Error + 'static)) -> Kind {
    let mut kind = Kind::Transient;
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            kind = Kind::Credentials;
        } else if error.downcast_ref::<ConnectorError>().is_some_and(|error| error.is_io() || error.is_timeout()) {
            return Kind::Transient;
        }
        cause = error.source();
    }
    kind
}

/// By the codes of "Error responses" in the S3 API reference, and of "Common error types" of AWS's other services.
fn kind(code: &str, status: Option<u16>) -> Kind {
    match code {
        "SlowDown"
        | "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "ReduceYourRateLimit"
        | "LimitExceededException" => Kind::Throttled,
        "RequestTimeTooSkewed" | "RequestExpired" | "RequestInTheFuture" => Kind::Clock,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "TokenRefreshRequired"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "SignatureDoesNotMatch"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "InvalidSignatureException"
        | "IncompleteSignature" => Kind::Credentials,
        "AccessDenied"
        | "AccessDeniedException"
        | "AllAccessDisabled"
        | "AccountProblem"
        | "UnauthorizedOperation"
        | "KMS.DisabledException"
        | "KMS.NotFoundException"
        | "InvalidKMSResourceException"
        | "InvalidObjectState" => Kind::Denied,
        "NoSuchBucket"
        | "PermanentRedirect"
        | "ResourceNotFoundException"
        | "InvalidSourceException"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => Kind::NotFound,
        // The bytes were other ones on their way, or somebody writes the same object now.
        "BadDigest"
        | "InvalidDigest"
        | "XAmzContentSHA256Mismatch"
        | "XAmzContentChecksumMismatch"
        | "IncompleteBody"
        | "RequestTimeout"
        | "InternalError"
        | "ConditionalRequestConflict"
        | "OperationAborted"
        | "OperationAbortedException"
        | "InternalFailure"
        | "InternalServerException" => Kind::Transient,
        _ => match status {
            Some(401) => Kind::Credentials,
            Some(403) => Kind::Denied,
            Some(429 | 503) => Kind::Throttled,
            Some(400 | 405 | 411..=417) => Kind::Refused,
            _ => Kind::Transient,
        },
    }
}

/// An error and its causes, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // A service that gives credentials says it best.
        if let Some(said) = error.downcast_ref::<ErrorMetadata>()
            && let (Some(code), Some(message)) = (said.code(), said.message())
        {
            return format!("no credentials: {code}: {message}");
        }
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_code_means() {
        for (code, status, expected) in [
            ("SlowDown", Some(503), Kind::Throttled),
            ("InternalError", Some(500), Kind::Transient),
            ("ExpiredToken", Some(400), Kind::Credentials),
            ("AccessDenied", Some(403), Kind::Denied),
            ("RequestTimeTooSkewed", Some(403), Kind::Clock),
            ("EntityTooLarge", Some(400), Kind::Refused),
            ("", Some(502), Kind::Transient),
            ("", None, Kind::Transient),
        ] {
            assert_eq!(kind(code, status), expected, "{code}");
        }
    }
}
