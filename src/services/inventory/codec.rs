//! How messages of the inventory are encoded and decoded: as Protobuf, in small buffers.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// The size of the buffer of a message in bytes. Most messages are smaller, and for larger ones the buffer grows.
/// tonic's default is 8 KiB, for the request and again for the reply of each call. glibc's allocator is slower for
/// buffers of more than 1,032 bytes.
const BUFFER_SIZE: usize = 512;

/// A codec of Protobuf messages. `build.rs` makes the generated client use it.
#[derive(Debug)]
pub struct SmallMessages<Request, Reply>(PhantomData<(Request, Reply)>);

impl<Request, Reply> Default for SmallMessages<Request, Reply> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Request, Reply> Codec for SmallMessages<Request, Reply>
where
    Request: Message + 'static,
    Reply: Message + Default + 'static,
{
    type Encode = Request;
    type Decode = Reply;
    type Encoder = ProstEncoder<Request>;
    type Decoder = ProstDecoder<Reply>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(buffers())
    }
}

fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_SIZE, BUFFER_SIZE)
}
