//! How far this machine's clock is from the servers': signatures are good for a quarter of an hour around their time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use aws_sdk_s3::config::{
    ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
};
use aws_smithy_types::{DateTime, date_time::Format};
use flowlake_common::time;

/// What the latest reply's `Date` said of this machine's clock.
#[derive(Debug, Default)]
pub struct Clock {
    ahead: AtomicI64,
}

impl Clock {
    /// Seconds that this machine's clock is ahead of the server's that answered last; 0 before any did.
    #[must_use]
    pub fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }
}

/// Looks at every reply's `Date`.
#[derive(Debug)]
pub(super) struct Watch(pub(super) Arc<Clock>);

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_s3::error::BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()) {
            self.0.ahead.store(time::now() - date.secs(), Ordering::Relaxed);
        }
        Ok(())
    }
}
