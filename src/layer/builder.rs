//! The builder: the options of a network.

use super::config::{Bias, Config, Direction, Layout};
use super::init::Init;
use super::recurrent::Recurrent;
use crate::activation::Activation;
use crate::cell::{CellKind, Options};
use crate::error::{Error, reserve};
use crate::product::Precision;
use crate::sequence::{Schedule, Threads};
use crate::simd::Level;

/// Constructors of LSTM layers ([`CellKind::Lstm`], [`CellKind::LstmMultiplicative`], [`CellKind::Slstm`],
/// [`CellKind::MinLstm`]). What they build is a [`Recurrent`].
#[derive(Debug)]
#[doc(alias = "LSTM")]
#[doc(alias = "LSTMCell")]
#[doc(alias = "nn.LSTM")]
pub enum Lstm {}

impl Lstm {
    /// A builder of LSTM layers.
    pub fn builder(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::Lstm, input_size, hidden_size)
    }

    /// A builder of multiplicative LSTM layers, whose input chooses what of the state the gates see.
    #[doc(alias = "mLSTM")]
    pub fn multiplicative(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::LstmMultiplicative, input_size, hidden_size)
    }

    /// A builder of layers of xLSTM's sLSTM, with an exponential input gate, and [heads](Builder::heads).
    #[doc(alias = "sLSTM")]
    #[doc(alias = "xLSTM")]
    pub fn exponential(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::Slstm, input_size, hidden_size)
    }

    /// A builder of minimal LSTM layers, whose gates see the input alone.
    #[doc(alias = "minLSTM")]
    pub fn minimal(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::MinLstm, input_size, hidden_size)
    }
}

/// Constructors of GRU layers ([`CellKind::GruResetAfter`], [`CellKind::GruResetBefore`],
/// [`CellKind::MinGru`]). What they build is a [`Recurrent`].
#[derive(Debug)]
#[doc(alias = "GRU")]
#[doc(alias = "GRUCell")]
#[doc(alias = "nn.GRU")]
pub enum Gru {}

impl Gru {
    /// A builder of GRU layers that reset after the recurrent product, as PyTorch and Keras do.
    pub fn reset_after(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::GruResetAfter, input_size, hidden_size)
    }

    /// A builder of GRU layers that reset before the recurrent product, as ONNX does by default.
    pub fn reset_before(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::GruResetBefore, input_size, hidden_size)
    }

    /// A builder of minimal GRU layers, whose gates see the input alone.
    #[doc(alias = "minGRU")]
    pub fn minimal(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::MinGru, input_size, hidden_size)
    }
}

/// Constructors of Elman layers ([`CellKind::ElmanTanh`], [`CellKind::ElmanRelu`]) and of independently
/// recurrent ones ([`CellKind::IndRnn`]). What they build is a [`Recurrent`].
#[derive(Debug)]
#[doc(alias = "RNN")]
#[doc(alias = "SimpleRNN")]
#[doc(alias = "Elman")]
#[doc(alias = "nn.RNN")]
pub enum Rnn {}

impl Rnn {
    /// A builder of Elman layers with tanh.
    pub fn tanh(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::ElmanTanh, input_size, hidden_size)
    }

    /// A builder of Elman layers with a rectifier.
    pub fn relu(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::ElmanRelu, input_size, hidden_size)
    }

    /// A builder of independently recurrent layers, with a rectifier: each unit sees its own state alone.
    #[doc(alias = "IndRNN")]
    pub fn independent(input_size: usize, hidden_size: usize) -> Builder {
        Builder::new(CellKind::IndRnn, input_size, hidden_size)
    }
}

/// Makes a [`Recurrent`]. [`Lstm::builder`](crate::Lstm::builder) and its like start one, or [`Builder::new`]
/// where the cell is known only when the program runs.
///
/// ```
/// use fused_rnn::{Builder, CellKind, Init, Layout};
///
/// let gru = Builder::new(CellKind::GruResetAfter, 40, 64)
///     .layers(2)
///     .bidirectional(true)
///     .layout(Layout::TimeMajor)
///     .init(Init::PyTorch, 42)
///     .build()?;
/// assert_eq!(gru.config().output_size(), 128);
/// # Ok::<(), fused_rnn::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder makes nothing until `build`"]
pub struct Builder {
    config: Config,
    activations: [Option<Vec<Activation>>; 2],
    init: Init,
    seed: u64,
    level: Option<Level>,
}

impl Builder {
    /// A builder with the defaults: one layer, forward in time, batch-first, two biases, no dropout,
    /// PyTorch's initialisation.
    pub fn new(kind: CellKind, input_size: usize, hidden_size: usize) -> Self {
        let config = Config {
            kind,
            options: [Options::plain(kind); 2],
            plain: true,
            projection: None,
            layer_norm: None,
            heads: 1,
            precision: Precision::default(),
            input_size,
            hidden_size,
            layers: 1,
            direction: Direction::default(),
            layout: Layout::default(),
            bias: Bias::default(),
            dropout: 0.0,
            recurrent_dropout: 0.0,
            input_dropout: 0.0,
            zoneout: [0.0; 2],
            threads: Threads::default(),
            schedule: Schedule::default(),
        };
        Builder { config, activations: [None, None], init: Init::PyTorch, seed: 0, level: None }
    }
    /// The number of layers. Each layer reads the output of the layer below.
    #[doc(alias = "num_layers")]
    pub fn layers(mut self, layers: usize) -> Self {
        self.config.layers = layers;
        self
    }
    /// The direction of time of the layers. In a network that runs only in reverse, names of parameters have
    /// no `_reverse`.
    #[doc(alias = "go_backwards")]
    pub fn direction(mut self, direction: Direction) -> Self {
        self.config.direction = direction;
        self
    }
    /// Sets [`Direction::Both`] if true, and [`Direction::Forward`] if false.
    #[doc(alias = "Bidirectional")]
    pub fn bidirectional(self, bidirectional: bool) -> Self {
        self.direction(if bidirectional { Direction::Both } else { Direction::Forward })
    }
    /// The activations of both directions: as many as the cell has, in ONNX's order: LSTM f (of i, f, o), g
    /// (of the candidate), h (of the output); GRU f (of r, z), g (of the candidate); Elman and IndRNN f;
    /// minimal GRU f (of z), g (of the candidate); minimal LSTM g (of the candidate).
    ///
    /// ```
    /// use fused_rnn::{Activation, Lstm};
    ///
    /// let hard = Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
    /// let lstm = Lstm::builder(4, 8).activations(&[hard, Activation::Tanh, Activation::Softsign]).build()?;
    /// assert_eq!(lstm.config().activations(false)[2], Activation::Softsign);
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    #[doc(alias = "nonlinearity")]
    #[doc(alias = "recurrent_activation")]
    pub fn activations(mut self, activations: &[Activation]) -> Self {
        self.activations[0] = Some(activations.to_vec());
        self
    }
    /// The activations of the reverse direction, if they differ from those of the forward direction.
    pub fn activations_reverse(mut self, activations: &[Activation]) -> Self {
        self.activations[1] = Some(activations.to_vec());
        self
    }
    /// Clamps pre-activations to `-clip..=clip` (ONNX's `clip`). The pre-activation of a gate or candidate is
    /// the argument of its activation, with biases, peepholes and reset. The gradient is 0 where a value was
    /// clamped.
    pub fn clip(mut self, clip: f32) -> Self {
        self.config.options.iter_mut().for_each(|options| options.clip = clip);
        self
    }
    /// Clamps the new cell state of an LSTM, or of a multiplicative one, to `-clip..=clip`, before the output
    /// and the peephole of o see it (cuDNN's clip, TensorFlow's `cell_clip`). The gradient is 0 where a value
    /// was clamped.
    pub fn cell_clip(mut self, clip: f32) -> Self {
        self.config.options.iter_mut().for_each(|options| options.cell_clip = clip);
        self
    }
    /// Gives the gates of an LSTM diagonal weights on the cell state (Gers, Schmidhuber 2000): i and f see
    /// the cell state before the step, o the one after it. The parameter is `peephole_l0`, (3, H), rows i, f,
    /// o.
    pub fn peephole(mut self, peephole: bool) -> Self {
        self.config.options.iter_mut().for_each(|options| options.peephole = peephole);
        self
    }
    /// Makes the hidden state of an LSTM a projection to `size` values, `h' = W_hr (o * tanh(c'))`, at most H
    /// (LSTMP: Sak, Senior, Beaufays 2014; PyTorch's `proj_size`). The parameter is `weight_hr_l0`, (P, H);
    /// then `weight_hh` is (4 H, P), outputs are `D * P` wide, and [`State::h`](crate::State::h) is P wide.
    #[doc(alias = "proj_size")]
    #[doc(alias = "num_proj")]
    pub fn projection(mut self, size: usize) -> Self {
        self.config.projection = Some(size);
        self
    }
    /// Normalises the two products of an LSTM, or of a GRU that resets after, and for the output of the LSTM
    /// its cell state (Ba, Kiros, Hinton 2016, arXiv 1607.06450):
    ///
    /// ```text
    /// N(x) = (x - mean(x)) / sqrt(variance(x) + epsilon)       over all gates of a product together
    ///
    /// LSTM   i, f, g, o  of   norm_ih * N(W x) + b_ih + norm_hh * N(R h) + b_hh
    ///        c' = f * c + i * g      h' = o * tanh(norm_c[0] * N(c') + norm_c[1])
    /// GRU    p = norm_ih * N(W x) + b_ih      q = norm_hh * N(R h) + b_hh
    ///        r, z = s(p + q)         n = tanh(p + r * q)     h' = (1 - z) * n + z * h
    /// ```
    ///
    /// The gains are the parameters `norm_ih_l0` and `norm_hh_l0`, (gates * H), and `norm_c_l0`, (2, H); they
    /// begin as one, the shift of the cell state as zero. A value beyond 1.8e19 overflows the variance, and N
    /// is then zero; only activations without a bound reach such values. Layer normalisation can be combined
    /// with other activations and clips, but not with peepholes, coupled gates and projections.
    pub fn layer_norm(mut self, epsilon: f32) -> Self {
        self.config.layer_norm = Some(epsilon);
        self
    }
    /// Makes the forget gate of an LSTM `1 - i` (ONNX's `input_forget`). The parameters keep the rows of f;
    /// these are not used, and their gradient is 0.
    pub fn coupled(mut self, coupled: bool) -> Self {
        self.config.options.iter_mut().for_each(|options| options.coupled = coupled);
        self
    }
    /// Cuts the units of an sLSTM into heads of `hidden_size / heads` units, each of which sees the hidden
    /// state of its own units alone: R of each gate is block-diagonal (Beck et al. 2024, section 2.2).
    /// `weight_hh_l0` is then (4 H, H / heads): the blocks of each gate, one after the other. With n heads
    /// the products with R have an n-th of the multiply-adds. Heads of a multiple of 16 units fill vectors of
    /// every level; heads of other sizes give as exact results, and are slower.
    ///
    /// ```
    /// use fused_rnn::Lstm;
    ///
    /// let lstm = Lstm::exponential(8, 64).heads(4).build()?;
    /// let weights = lstm.named_parameters().find(|parameter| parameter.name == "weight_hh_l0");
    /// assert_eq!(weights.map(|weights| weights.shape), Some(vec![4 * 64, 16]));
    /// # Ok::<(), fused_rnn::Error>(())
    /// ```
    #[doc(alias = "num_heads")]
    pub fn heads(mut self, heads: usize) -> Self {
        self.config.heads = heads;
        self
    }
    /// The order of the axes of input and output. States are always `(layers * directions, batch, H)`.
    #[doc(alias = "batch_first")]
    #[doc(alias = "time_major")]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.config.layout = layout;
        self
    }
    /// The bias vectors of each layer.
    #[doc(alias = "use_bias")]
    pub fn bias(mut self, bias: Bias) -> Self {
        self.config.bias = bias;
        self
    }
    /// The probability with which [`forward_train`](Recurrent::forward_train) drops a value between two
    /// layers; values that stay are divided by `1 - dropout`. A single layer has no such values.
    pub fn dropout(mut self, dropout: f32) -> Self {
        self.config.dropout = dropout;
        self
    }
    /// Recurrent dropout, as in Keras and in Gal, Ghahramani, *A theoretically grounded application of
    /// dropout in recurrent neural networks* (2016): [`forward_train`](Recurrent::forward_train) drops each
    /// unit of the hidden state with this probability on its way into the recurrent product, with one mask
    /// for all steps of a row and all gates; what stays is divided by `1 - recurrent_dropout`. The state
    /// itself is carried whole (`z * h` of a GRU sees all of it), and the cell state is never dropped.
    /// Minimal cells have no recurrent weights: [`build`](Builder::build) refuses it.
    ///
    /// ```text
    /// i = s(W x + b_ih + R (h * mask) + b_hh)      as every gate; n of a GRU reset before: R (r * h * mask)
    /// ```
    pub fn recurrent_dropout(mut self, recurrent_dropout: f32) -> Self {
        self.config.recurrent_dropout = recurrent_dropout;
        self
    }
    /// Input dropout, as Keras's `dropout` and as the variational dropout of Gal and Ghahramani:
    /// [`forward_train`](Recurrent::forward_train) drops each input of a layer with this probability, with
    /// one mask for all steps of a row and both directions; what stays is divided by `1 - input_dropout`. It
    /// is for every layer, the first included, whose masked input the tape keeps. With
    /// [`dropout`](Self::dropout) as well, what goes from layer to layer has both factors.
    pub fn input_dropout(mut self, input_dropout: f32) -> Self {
        self.config.input_dropout = input_dropout;
        self
    }
    /// Zoneout (Krueger et al. 2016, arXiv 1606.01305): at each step each unit of the hidden state keeps its
    /// old value with probability `hidden`, and each unit of an LSTM's cell state with probability `cell`.
    /// The new hidden state is made of the new cell state, whether that is kept or not.
    ///
    /// ```text
    /// h'' = h + taken * (h' - h)      c'' = c + taken * (c' - c)      h' = o * tanh(c')
    /// taken    0 with that probability, else 1          in forward_train, from its seed
    ///          1 - the probability                      in forward and step
    /// ```
    pub fn zoneout(mut self, hidden: f32, cell: f32) -> Self {
        self.config.zoneout = [hidden, cell];
        self
    }
    /// The initial values of the weights, and the seed of their random numbers.
    #[doc(alias = "kernel_initializer")]
    #[doc(alias = "reset_parameters")]
    pub fn init(mut self, init: Init, seed: u64) -> Self {
        self.init = init;
        self.seed = seed;
        self
    }
    /// How weights are stored and multiplied. The default is [`Precision::F32`].
    #[doc(alias = "bfloat16")]
    #[doc(alias = "dtype")]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.config.precision = precision;
        self
    }
    /// Pins the SIMD level. The default is [`Level::from_env`]. (A row of few units, which leave most of the
    /// last vector of AVX-512 empty, may be quicker on AVX2, with the same bits.)
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }
    /// How many threads a call may use.
    #[doc(alias = "set_num_threads")]
    #[doc(alias = "intra_op_num_threads")]
    pub fn threads(mut self, threads: Threads) -> Self {
        self.config.threads = threads;
        self
    }

    /// How threads divide the work, for measurements and tests. The default is the schedule that is estimated
    /// to be the fastest.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.config.schedule = schedule;
        self
    }

    /// Makes the network.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] where a size is 0, [`Error::SizeOverflow`] or [`Error::OutOfMemory`] where the
    /// weights do not fit into memory, [`Error::OutOfRange`] where a dropout is not in `[0, 1)`, the
    /// projection is not in `1..=H`, the heads are no divisor of H, a width is more than 131072 in
    /// [`Precision::Int8`], an epsilon or a clip is not a positive number or a parameter of an activation is
    /// not finite, [`Error::Length`] where there are more or fewer activations than the cell has,
    /// [`Error::Unsupported`] where the cell has no such option or the network no reverse direction for its
    /// activations, [`Error::LevelUnavailable`] or [`Error::UnknownLevel`] where the SIMD level cannot be
    /// had.
    pub fn build(self) -> Result<Recurrent, Error> {
        let mut config = self.config;
        config.choose_activations(&self.activations)?;
        config.check_options()?;
        let plain = config.used_options().iter().all(|&options| options == Options::plain(config.kind));
        config.plain = plain && config.zoneout == [0.0; 2];
        let sizes = [
            ("input_size", config.input_size),
            ("hidden_size", config.hidden_size),
            ("layers", config.layers),
        ];
        for (what, size) in sizes {
            if size == 0 {
                return Err(Error::ZeroSize { what });
            }
        }
        config.check_precision()?;
        let dropouts = [
            ("dropout", config.dropout),
            ("recurrent_dropout", config.recurrent_dropout),
            ("input_dropout", config.input_dropout),
            ("zoneout of the hidden state", config.zoneout[0]),
            ("zoneout of the cell state", config.zoneout[1]),
        ];
        for (what, p) in dropouts {
            if !(0.0..1.0).contains(&p) {
                let got = f64::from(p);
                return Err(Error::OutOfRange { what, expected: "a probability in [0, 1)", got });
            }
        }
        // Allocates all parameters at once, before anything is made for each layer. (The packed weights are
        // as large again, and a layer has a kilobyte besides. Each layer allocates these for itself, and that
        // may be refused as well.)
        reserve(&mut Vec::<f32>::new(), config.parameter_count()?)?;
        let level = match self.level {
            Some(level) => level,
            None => Level::from_env()?,
        };
        let mut recurrent = Recurrent::zero(config, level.token()?)?;
        recurrent.initialise(self.init, self.seed)?;
        Ok(recurrent)
    }
}
