//! How messages become bytes: as tonic does it, with less memory for each call.
//!
//! tonic's own codec gives each call 8 KiB for what comes and 8 KiB for what goes, also a call on which nothing comes:
//! most of what an open call takes of a server. Here a buffer begins small, and grows with what it holds.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// What the buffers of a call begin with: more than most single messages, and acknowledgements. What is sent has no
/// smaller parts than this, if it is at least 1 KiB.
const BUFFER_BYTES: usize = 1 << 10;
/// From how many bytes on messages are sent before there are more of them: tonic's own.
const SENT_BYTES: usize = 32 << 10;

/// The codec of all services.
#[derive(Debug, Clone)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, SENT_BYTES)
}

// === impl Codec ===

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tonic::codec::{Codec as _, EncodeBody, Streaming};
    use tonic::codegen::tokio_stream::{Stream as _, iter};

    use super::*;

    #[test]
    fn messages_of_all_sizes_arrive() {
        let sizes =
            [0, 1, BUFFER_BYTES - 10, BUFFER_BYTES, BUFFER_BYTES + 1, SENT_BYTES, 3 << 20, 7];
        let texts = sizes.map(|bytes| "x".repeat(bytes));
        let mut codec = Codec::<String, String>::default();
        let sent = EncodeBody::new_client(codec.encoder(), iter(texts.clone().map(Ok)), None, None);
        let mut received = pin!(Streaming::new_request(codec.decoder(), sent, None, None));
        let mut cx = Context::from_waker(Waker::noop());
        for text in texts {
            let Poll::Ready(Some(Ok(message))) = received.as_mut().poll_next(&mut cx) else {
                panic!("a message of {} bytes", text.len());
            };
            assert_eq!(message, text);
        }
        assert!(matches!(received.poll_next(&mut cx), Poll::Ready(None)));
    }
}
