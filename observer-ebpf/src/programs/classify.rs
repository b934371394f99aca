//! What a connection carries, guessed from the first bytes of a turn. Provisional: the agent
//! decodes, and corrects the guess.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use observer_ebpf::{Direction, Protocol, is_client_hello, recognise};

use super::setting;
use super::state::State;

/// Bytes looked at.
const LOOK: u32 = 16;

/// Looks at the first bytes of a turn, while there is something to learn from them.
#[inline(always)]
pub(super) fn classify(skb: *mut __sk_buff, state: *mut State, offset: u32, length: u32) {
    // After a granted SSLRequest the same connection goes on in TLS.
    let protocol = unsafe { (*state).protocol };
    let open = protocol == Protocol::Undecided as u8 || protocol == Protocol::Postgres as u8;
    if open && u32::from(unsafe { (*state).attempts }) < setting!(attempts) {
        look(skb, state, offset, length);
    }
}

#[inline(never)]
fn look(skb: *mut __sk_buff, state: *mut State, offset: u32, length: u32) {
    let state = unsafe { &mut *state };
    let switching = state.protocol == Protocol::Postgres as u8;
    let mut words = [0_u64; 2];
    let length = length.min(LOOK);
    let length = (length.wrapping_sub(1) & (LOOK - 1)) + 1;
    if unsafe { bpf_skb_load_bytes(skb.cast(), offset, words.as_mut_ptr().cast(), length) } != 0 {
        return;
    }
    let found = recognise(u64::from_le(words[0]), u64::from_le(words[1])) as u8;
    state.attempts += 1;
    // The agent reads from it whom the workload asks, and says that this is TLS; else what the
    // server answers will.
    let asks = state.last == Direction::Sent as u8 + 1 && is_client_hello(u64::from_le(words[0]));
    if asks && !switching {
        return;
    }
    if switching {
        if found == Protocol::Tls as u8 {
            state.protocol = found;
        }
    } else if found != Protocol::Undecided as u8 {
        state.protocol = found;
        state.attempts = 0;
    } else if u32::from(state.attempts) >= setting!(attempts) {
        state.protocol = Protocol::Other as u8;
    }
}
