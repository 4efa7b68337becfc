//! A recurrent network as a layer of candle.

use crate::call::{Call, Sequences};
use crate::graph::{self, Shared};
use crate::parameters::{Parameters, Source};
use crate::pass::Pass;
use crate::slices::{check_place, of_storage, with_floats};
use crate::state::State;
use crate::{of_core, refused};
use candle_core::{DType, Device, ModuleT, Result, Tensor};
use candle_nn::VarBuilder;
use fused_rnn::{Builder, Config, Layout, Mirror, Recurrent};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A recurrent network whose parameters are candle's tensors: LSTM, GRU or Elman, in one or more layers, in
/// one or both directions, with all options of [`fused_rnn::Builder`].
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use fused_rnn_candle::{Call, Gru, Layer};
///
/// let varmap = VarMap::new();
/// let vb = VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu);
/// let gru = Layer::new(Gru::reset_after(3, 16).layers(2).bidirectional(true), vb.pp("gru"))?;
///
/// let x = Tensor::randn(0f32, 1.0, (2, 10, 3), &Device::Cpu)?; // (B, T, I)
/// let (y, state) = gru.run(&x, &Call::default().with_lengths(&[10, 4]), None)?;
/// assert_eq!(y.dims(), [2, 10, 32]); // (B, T, D * H)
/// assert_eq!(state.h().dims(), [4, 2, 16]); // (L * D, B, H)
///
/// let gradients = y.sqr()?.sum_all()?.backward()?;
/// assert!(varmap.all_vars().iter().all(|var| gradients.get(var).is_some()));
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// Tensors are float32 on the CPU; anything else is an error. The input need not be contiguous: of a batch or
/// of longer sequences, any piece whose features lie next to each other is read where it is.
///
/// A call makes a node of the graph, and keeps what backward needs, where the input, the state or a parameter
/// is a variable or was made of one. Parameters of a `VarMap` always are: use [`detach`](Layer::detach) where
/// nothing is to be trained. Gradients are of the first order.
///
/// Clones share their parameters. Calls take `&self`, and threads can share a layer.
#[derive(Clone)]
pub struct Layer {
    parameters: Parameters,
    parts: Arc<Parts>,
}

/// What clones share beside their parameters.
struct Parts {
    config: Config,
    builder: Builder,
    /// With dropout, if there is any.
    training: Arc<Mirror>,
    /// Without: made by the first call that needs it.
    evaluation: OnceLock<Arc<Mirror>>,
    next_seed: AtomicU64,
}

impl Layer {
    /// A layer that `builder` describes, with parameters of `vb`.
    ///
    /// Their names are those of candle and PyTorch, `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and
    /// `bias_hh_l0`, with `_l1` and so on for the layers above, and `_reverse` for the second direction.
    /// What further options add has the names of [`fused_rnn::Recurrent::parameters`]. Variables that a
    /// `VarMap` does not have yet begin as [`fused_rnn::Builder::init`] says: as PyTorch's, and the same seed
    /// gives the same values.
    ///
    /// # Errors
    /// Where the builder refuses an option, where `vb` is not float32 on the CPU, has another shape of a
    /// tensor, or is of a file that has no such tensor.
    pub fn new(builder: Builder, vb: VarBuilder<'_>) -> Result<Self> {
        Layer::with_sources(builder, vb, |name| Source { name: Some(name.to_owned()), init: None })
    }

    pub(crate) fn with_sources(
        builder: Builder,
        vb: VarBuilder<'_>,
        source: impl Fn(&str) -> Source,
    ) -> Result<Self> {
        let network = builder.clone().build().map_err(of_core)?;
        // (A `State` here carries h and c alone. Other states would silently be zero at the start of each
        // piece.)
        if let Some(other) = network.config().kind().states().iter().find(|name| !["h", "c"].contains(name)) {
            return Err(refused("cell", "one whose states are h and c", format!("one with a state {other}")));
        }
        let parameters = Parameters::new(&network, &vb, source)?;
        let parts = Parts {
            config: network.config().clone(),
            builder,
            training: Arc::new(Mirror::new(network)),
            evaluation: OnceLock::new(),
            next_seed: AtomicU64::new(seed_of(&vb.prefix())),
        };
        Ok(Layer { parameters, parts: Arc::new(parts) })
    }

    /// The configuration: sizes, layers, directions and options.
    pub fn config(&self) -> &Config {
        &self.parts.config
    }

    /// The parameters by their names below the prefix of the layer.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.parameters.named()
    }

    /// The same layer outside of the graph, for evaluation: its calls keep nothing for backward. It shares
    /// the memory of the parameters, and so follows their training.
    #[must_use]
    pub fn detach(&self) -> Layer {
        Layer { parameters: self.parameters.detach(), parts: Arc::clone(&self.parts) }
    }

    /// Begins the seeds of dropout and zoneout anew: each call in training without a seed of its own takes
    /// the next. The first is made of the prefix of the layer. So a program draws the same masks in every
    /// run, and its layers draw different ones.
    pub fn set_seed(&self, seed: u64) {
        self.parts.next_seed.store(seed, Ordering::Relaxed);
    }

    /// A copy of the network with the parameters of the moment, without candle: for streams on real-time
    /// threads ([`fused_rnn::Recurrent::step`] allocates nothing), or to save it in other formats.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap};
    /// use fused_rnn_candle::{Layer, Lstm, fused_rnn::Workspace};
    ///
    /// let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    /// let network = Layer::new(Lstm::builder(1, 40), vb)?.network()?;
    /// let (mut state, mut workspace) = (network.zero_state(1).unwrap(), Workspace::new());
    /// let mut y = [0.0; 40];
    /// for sample in [0.1, 0.2, 0.3] {
    ///     network.step(&[sample], &mut state, Some(&mut y), &mut workspace).unwrap();
    /// }
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where a variable is not contiguous any more.
    pub fn network(&self) -> Result<Recurrent> {
        let network =
            self.parameters.with_floats(|all| self.parts.training.with_parameters(all).map_err(of_core))?;
        Ok(Arc::unwrap_or_clone(network))
    }

    /// A state of these values. `h` is `(L * D, B, H)`, P wide with a projection; `c` is `(L * D, B, H)` for
    /// an LSTM, and `None` for other cells.
    ///
    /// # Errors
    /// Where the shapes are not those of this layer, or the tensors are not float32 on the CPU.
    pub fn state(&self, h: Tensor, c: Option<Tensor>) -> Result<State> {
        let state = State { h, c, directions: self.config().directions() };
        self.check_state(&state, None)?;
        Ok(state)
    }

    /// Runs sequences from a state, or from zeros, and gives their outputs and final states.
    ///
    /// `x` is `(B, T, I)`, or `(T, B, I)` where the layer is time-major, or `(sum of lengths, I)` where the
    /// call is packed. The output is the hidden state of the last layer at each step, both directions side by
    /// side, `(B, T, D * H)` and alike. With a projection it is P wide instead of H.
    ///
    /// The number of rows, their order, their neighbours and the number of threads change no bit of a row.
    ///
    /// # Errors
    /// Where a tensor has another shape or type or is on another device, where lengths, mask or resets do not
    /// fit, and where memory is refused.
    pub fn run(&self, x: &Tensor, call: &Call<'_>, state: Option<&State>) -> Result<(Tensor, State)> {
        let Done { sequences, ends, y } = self.call(x, call, state)?;
        let y = match y {
            Y::Tensor(y) => y,
            Y::InGraph(shared) => ends.apply_op1(graph::Sequence(shared))?,
        };
        Ok((y, self.cut(&ends, &sequences)?))
    }

    /// The output of whole sequences from zero states, in evaluation: [`run`](Layer::run) with
    /// [`Call::default`].
    ///
    /// # Errors
    /// As for [`run`](Layer::run).
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.forward_t(x, false)
    }

    /// Runs sequences, and gives what they left.
    pub(crate) fn call(&self, x: &Tensor, call: &Call<'_>, state: Option<&State>) -> Result<Done> {
        let config = self.config();
        check_place("x", x.dtype(), x.device())?;
        let time_major = config.layout() == Layout::TimeMajor;
        let sequences = Sequences::of(x, call, config.input_size(), time_major)?;
        if let Some(state) = state {
            self.check_state(state, Some(sequences.batch))?;
        }
        let x = if sequences.dims(x.layout()).is_some() { x.clone() } else { x.contiguous()? };
        let wanted = self.parameters.tracked();
        let tracked = x.track_op() || wanted.contains(&true) || state.is_some_and(State::is_tracked);
        let (mirror, record) = self.mirror(call, tracked)?;
        let pass = Pass { mirror, sequences: sequences.clone(), threads: call.threads, record };
        let shape = sequences.output_shape(config.output_size());
        let initial = match state {
            Some(state) => state.flat()?,
            None => Tensor::zeros(0, DType::F32, &Device::Cpu)?,
        };
        if tracked {
            let shared = Shared::new(pass, self.parameters.ranges(), wanted, shape);
            let node = graph::Layer(Arc::clone(&shared));
            let ends = x.apply_op3(&self.parameters.flat()?, &initial, node)?;
            return Ok(Done { sequences, ends, y: Y::InGraph(shared) });
        }
        // (The parameters are borrowed until they are compared, and not while the network runs: a thread of a
        // pool that waits within the run takes up other calls, whose borrow would wait for an optimiser that
        // waits for this one.)
        let network = self.parameters.with_floats(|parameters| pass.network(parameters))?;
        let (storage, x_layout) = x.storage_and_layout();
        let x_floats = (of_storage("x", &storage, x_layout)?, x_layout);
        let forward = with_floats("state", &initial, |initial| pass.forward(&network, x_floats, initial))?;
        let len = forward.state.len();
        let ends = Tensor::from_vec(forward.state, len, &Device::Cpu)?;
        let y = Y::Tensor(Tensor::from_vec(forward.y, &shape[..], &Device::Cpu)?);
        Ok(Done { sequences, ends, y })
    }

    /// The network for a call, and the seed of its tape if it is to keep one.
    fn mirror(&self, call: &Call<'_>, tracked: bool) -> Result<(Arc<Mirror>, Option<u64>)> {
        let Parts { config, builder, training, evaluation, next_seed } = &*self.parts;
        let drops = [config.dropout(), config.recurrent_dropout(), config.input_dropout()] != [0.0; 3];
        let zones = config.zoneout() != [0.0; 2];
        let training = || Arc::clone(training);
        if call.train && (drops || zones) {
            let seed = call.seed.unwrap_or_else(|| next_seed.fetch_add(1, Ordering::Relaxed));
            return Ok((training(), Some(seed)));
        }
        // (Backward of these is an error, and evaluation of variables none: each call of such tracks.)
        let no_backward = zones || !config.precision().trains();
        if !tracked || no_backward {
            return Ok((training(), None));
        }
        if !drops {
            return Ok((training(), Some(0)));
        }
        if let Some(mirror) = evaluation.get() {
            return Ok((Arc::clone(mirror), Some(0)));
        }
        let builder = builder.clone().dropout(0.0).recurrent_dropout(0.0).input_dropout(0.0);
        let mirror = Arc::new(Mirror::new(builder.build().map_err(of_core)?));
        Ok((Arc::clone(evaluation.get_or_init(|| mirror)), Some(0)))
    }

    /// Refuses a state of other shapes, or of another number of rows.
    fn check_state(&self, state: &State, batch: Option<usize>) -> Result<()> {
        let config = self.config();
        let strands = config.layers() * config.directions();
        let widths = [config.projection().unwrap_or(config.hidden_size()), config.hidden_size()];
        let batch = batch.or_else(|| state.h.dims().get(1).copied()).unwrap_or(0);
        let expected = [Some(widths[0]), Some(widths[1]).filter(|_| config.kind().has_cell_state())];
        let planes = [("h of a state", Some(&state.h)), ("c of a state", state.c.as_ref())];
        for ((what, plane), width) in planes.into_iter().zip(expected) {
            if let Some(plane) = plane {
                check_place(what, plane.dtype(), plane.device())?;
            }
            let got = plane.map(Tensor::dims);
            let expected = width.map(|width| [strands, batch, width]);
            if got != expected.as_ref().map(|shape| &shape[..]) {
                let said =
                    |shape: Option<&[usize]>| shape.map_or("none".to_owned(), |shape| format!("{shape:?}"));
                let expected = said(expected.as_ref().map(|shape| &shape[..]));
                return Err(refused(what, &expected, said(got)));
            }
        }
        Ok(())
    }

    /// The final states of a call.
    pub(crate) fn cut(&self, ends: &Tensor, sequences: &Sequences) -> Result<State> {
        let config = self.config();
        let [h_len, c_len] = config.state_lens(sequences.batch);
        let strands = config.layers() * config.directions();
        let plane = |from: usize, len: usize, width: usize| {
            ends.narrow(0, from, len)?.reshape((strands, sequences.batch, width))
        };
        let h = plane(0, h_len, config.projection().unwrap_or(config.hidden_size()))?;
        let has_c = config.kind().has_cell_state();
        let c = has_c.then(|| plane(h_len, c_len, config.hidden_size())).transpose()?;
        Ok(State { h, c, directions: config.directions() })
    }
}

/// What a call has left.
pub(crate) struct Done {
    pub(crate) sequences: Sequences,
    /// The final states, in one row.
    pub(crate) ends: Tensor,
    pub(crate) y: Y,
}

/// The output of a call.
pub(crate) enum Y {
    Tensor(Tensor),
    /// It waits for a node on top of `ends`.
    InGraph(Arc<Shared>),
}

/// The first seed of a layer with this prefix: FNV-1a.
fn seed_of(prefix: &str) -> u64 {
    prefix
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// The output of whole sequences from zero states, with dropout and zoneout in training.
impl ModuleT for Layer {
    fn forward_t(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        Ok(self.run(x, &Call::default().with_train(train), None)?.0)
    }
}

impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes: Vec<_> = self.parameters().map(|(name, tensor)| (name, tensor.dims())).collect();
        f.debug_struct("Layer").field("config", self.config()).field("parameters", &shapes).finish()
    }
}
