/* fused-rnn: LSTM, GRU and Elman layers for CPUs, forward, step by step and trained.
 *
 * Made of ffi/src by cbindgen; do not edit. ../README.md begins with the ten lines of a stream.
 *
 *   frnn_builder   options -> frnn_network    layers and their parameters; threads may share it while it does
 *                                             not change
 *   frnn_pass      what changes from call to call over sequences: states, the tape of training, memory
 *   frnn_model     recurrent and dense layers, skip connection, gains: of a file, or of its parts
 *   frnn_stream    a model that runs sample by sample, for audio threads
 *
 * Results. Every function that can fail returns a frnn_result; FRNN_RESULT_OK is 0. frnn_last_error says what
 * was expected and what was got. A function that fails has written nothing, but a NULL where a new handle
 * would stand. NULL, sizes that do not fit, refused memory, and files that were made to do harm are errors;
 * no panic leaves the library. (Where the few bytes of a text are refused, or those of a file that is read
 * or written, the program ends.)
 *
 * Pointers. Arrays are dense and row-major; each goes with its number of values. NULL is allowed where a
 * function says so, with the number 0. What is written may not overlap anything else of the call, unless it
 * says so. A handle is freed by the _destroy of its type, which takes NULL too. Handles that are made from
 * others do not need these any more.
 *
 * Threads. Functions that take a const handle may run on several threads at once, with that handle. A handle
 * that is not const belongs to one thread at a time.
 *
 * Real time. Functions that say "real time" allocate nothing, lock nothing and make no system call, unless
 * they fail.
 */


#ifndef FUSED_RNN_H
#define FUSED_RNN_H

#include <stddef.h>
#include <stdint.h>

// The version of the interface of this header. It changes when a program must be compiled again.
#define FRNN_ABI_VERSION 1

// What became of a call.
typedef enum {
  // All is done.
  FRNN_RESULT_OK = 0,
  // A pointer is NULL, or not aligned to the type that it points to.
  FRNN_RESULT_POINTER = 1,
  // The number of values does not fit the shapes of the call.
  FRNN_RESULT_LENGTH = 2,
  // A number is out of its range, or names no option.
  FRNN_RESULT_RANGE = 3,
  // A size is too large, or memory was refused.
  FRNN_RESULT_MEMORY = 4,
  // The layers do not have what was asked for.
  FRNN_RESULT_UNSUPPORTED = 5,
  // A text is not UTF-8, or nothing has this name.
  FRNN_RESULT_NAME = 6,
  // A file, or something in it, is not as it must be.
  FRNN_RESULT_FORMAT = 7,
  // What is written overlaps something else of the call.
  FRNN_RESULT_OVERLAP = 8,
  // A fault of the library: please report it.
  FRNN_RESULT_FAULT = 9,
} frnn_result;

// A function of each value.
typedef enum {
  // The value itself.
  FRNN_ACTIVATION_LINEAR = 0,
  // 1 / (1 + e^-x)
  FRNN_ACTIVATION_SIGMOID = 1,
  // The hyperbolic tangent.
  FRNN_ACTIVATION_TANH = 2,
  // max(0, x)
  FRNN_ACTIVATION_RELU = 3,
  // x, and e^x - 1 below 0.
  FRNN_ACTIVATION_ELU = 4,
  // x / (1 + |x|)
  FRNN_ACTIVATION_SOFTSIGN = 5,
  // x / 6 + 1/2, within 0 and 1: Keras's.
  FRNN_ACTIVATION_HARD_SIGMOID = 6,
} frnn_activation;

// The bias vectors of a layer.
typedef enum {
  // bias_ih and bias_hh, as in PyTorch.
  FRNN_BIAS_DOUBLE = 0,
  // bias_ih alone, as Keras's LSTM.
  FRNN_BIAS_SINGLE = 1,
  // No bias.
  FRNN_BIAS_NONE = 2,
} frnn_bias;

// The cell of a network. 0 is a cell that is read off a file.
typedef enum {
  // What a file says, or where it says nothing its shapes: frnn_network_load.
  FRNN_CELL_OF_FILE = 0,
  // LSTM.
  FRNN_CELL_LSTM = 1,
  // GRU, reset after the recurrent product: PyTorch, Keras.
  FRNN_CELL_GRU_RESET_AFTER = 2,
  // GRU, reset before the recurrent product: ONNX's default.
  FRNN_CELL_GRU_RESET_BEFORE = 3,
  // Elman layer with tanh.
  FRNN_CELL_ELMAN_TANH = 4,
  // Elman layer with a rectifier.
  FRNN_CELL_ELMAN_RELU = 5,
  // Minimal GRU (Feng et al. 2024): gates z and n see the input alone.
  FRNN_CELL_MIN_GRU = 6,
  // Minimal LSTM (the same): gates i, f and g see the input alone; it has no cell state.
  FRNN_CELL_MIN_LSTM = 7,
  // Independently recurrent layer (Li et al. 2018): of each unit, its own state alone.
  FRNN_CELL_IND_RNN = 8,
  // Multiplicative LSTM (Krause et al. 2016).
  FRNN_CELL_LSTM_MULTIPLICATIVE = 9,
  // sLSTM of xLSTM (Beck et al. 2024), whose states are h, c, n and m: frnn_pass_set_plane.
  FRNN_CELL_SLSTM = 10,
} frnn_cell;

// The direction of time.
typedef enum {
  // From the beginning to the end.
  FRNN_DIRECTION_FORWARD = 0,
  // From the end of each row to its beginning.
  FRNN_DIRECTION_REVERSE = 1,
  // Both; outputs lie side by side, forward first.
  FRNN_DIRECTION_BOTH = 2,
} frnn_direction;

// The initial values of the weights.
typedef enum {
  // As PyTorch begins.
  FRNN_INIT_PYTORCH = 0,
  // As Keras begins.
  FRNN_INIT_KERAS = 1,
  // Zeros.
  FRNN_INIT_ZERO = 2,
} frnn_init;

// The order of the axes of a sequence.
typedef enum {
  // (batch, steps, features)
  FRNN_LAYOUT_BATCH_FIRST = 0,
  // (steps, batch, features)
  FRNN_LAYOUT_TIME_MAJOR = 1,
} frnn_layout;

// How weights are stored and multiplied. Inputs, outputs and states are f32 in all of them.
typedef enum {
  // Weights and values in f32.
  FRNN_PRECISION_F32 = 0,
  // Weights in bf16, values in f32.
  FRNN_PRECISION_BF16_WEIGHTS = 1,
  // Weights and values in bf16.
  FRNN_PRECISION_BF16 = 2,
  // Weights and values in integers of eight bits, with scales. It does not train.
  FRNN_PRECISION_INT8 = 3,
} frnn_precision;

// Options of a network that is to be made.
typedef struct frnn_builder frnn_builder;

// A model that runs sample by sample: layers in their order, skip connection, gains, sample rate.
typedef struct frnn_model frnn_model;

// Recurrent layers with their parameters.
//
// Models and streams that were made of it keep the parameters that it had then.
typedef struct frnn_network frnn_network;

// States, tape and memory for sequences of a network, for `batch` rows of `steps` steps.
typedef struct frnn_pass frnn_pass;

// A model that runs for some rows, with its states and all memory. It does not need the model any more.
typedef struct frnn_stream frnn_stream;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// What was wrong with the last call of this thread that failed: what was expected and what was got. Never
// NULL; valid until the next call of this thread that fails.
const char *frnn_last_error(void);

// A result in words. Never NULL; valid for ever.
const char *frnn_result_text(uint32_t result);

// The FRNN_ABI_VERSION that the library was made with.
uint32_t frnn_abi_version(void);

// The version of the library, such as "0.1.0". Never NULL; valid for ever.
const char *frnn_version(void);

// A builder of layers of a frnn_cell, with `input_size` features and `hidden_size` units. The defaults: one
// layer, forward in time, batch-first, two biases, no dropout, PyTorch's initial values, all threads.
frnn_result frnn_builder_create(uint32_t kind,
                                size_t input_size,
                                size_t hidden_size,
                                frnn_builder **builder);

// Frees a builder. NULL is allowed.
void frnn_builder_destroy(frnn_builder *builder);

// The number of layers.
frnn_result frnn_builder_set_layers(frnn_builder *builder, size_t layers);

// The direction of time, a frnn_direction.
frnn_result frnn_builder_set_direction(frnn_builder *builder, uint32_t number);

// The order of the axes of sequences, a frnn_layout.
frnn_result frnn_builder_set_layout(frnn_builder *builder, uint32_t number);

// The bias vectors, a frnn_bias.
frnn_result frnn_builder_set_bias(frnn_builder *builder, uint32_t number);

// The activations, numbers of frnn_activation in ONNX's order: of an LSTM three (of i, f and o; of the
// candidate; of the output), of a GRU two (of r and z; of the candidate), of an Elman layer one. A minimal
// GRU has two (of z; of the candidate), a minimal LSTM one (of the candidate), an independent layer one, a
// multiplicative LSTM three as an LSTM, an sLSTM none.
frnn_result frnn_builder_set_activations(frnn_builder *builder, const uint32_t *activations, size_t count);

// Clamps pre-activations to -clip..clip.
frnn_result frnn_builder_set_clip(frnn_builder *builder, float clip);

// Clamps the cell state of an LSTM to -clip..clip.
frnn_result frnn_builder_set_cell_clip(frnn_builder *builder, float clip);

// Whether the gates of an LSTM see the cell state.
frnn_result frnn_builder_set_peephole(frnn_builder *builder, int32_t peephole);

// Whether the forget gate of an LSTM is 1 - i.
frnn_result frnn_builder_set_coupled(frnn_builder *builder, int32_t coupled);

// Projects the hidden state of an LSTM to `size` values.
frnn_result frnn_builder_set_projection(frnn_builder *builder, size_t size);

// Layer normalisation, with this epsilon.
frnn_result frnn_builder_set_layer_norm(frnn_builder *builder, float epsilon);

// Cuts the units of an sLSTM into heads, of which each unit sees those of its own head alone: `weight_hh` is
// (4 H, H / heads). A number that divides the hidden size.
frnn_result frnn_builder_set_heads(frnn_builder *builder,
                                   size_t heads);

// The probabilities with which training drops values: between layers; of the hidden state on its way into
// the recurrent product; of the inputs of each layer. The last two have one mask for all steps of a row.
frnn_result frnn_builder_set_dropout(frnn_builder *builder, float between, float recurrent, float input);

// The probabilities with which hidden states and cell states keep their old values.
frnn_result frnn_builder_set_zoneout(frnn_builder *builder, float hidden, float cell);

// The initial values of the parameters, a frnn_init, and the seed of their random numbers.
frnn_result frnn_builder_set_init(frnn_builder *builder, uint32_t number, uint64_t seed);

// How weights are stored and multiplied, a frnn_precision; f32 at first.
frnn_result frnn_builder_set_precision(frnn_builder *builder, uint32_t number);

// How many threads a pass may use: 0 for all of the machine. (Streams use the caller's alone.)
frnn_result frnn_builder_set_threads(frnn_builder *builder, size_t threads);

// Pins the SIMD level by its name: "portable", "avx2", "avx512", "neon". The default is the best of the
// machine.
frnn_result frnn_builder_set_level(frnn_builder *builder, const char *name);

// Makes the network. Options that the cell does not have, and values out of their ranges, are refused here,
// and not where they are set. The builder can make more networks.
frnn_result frnn_builder_build(const frnn_builder *builder, frnn_network **network);

// The network whose tensors are in a file of PyTorch's names: safetensors, `torch.save` (.pt) or JSON of
// nested lists; `size` bytes. Names begin with `prefix`, "" for none, and the file may have others beside
// them. `kind` is a frnn_cell. FRNN_CELL_OF_FILE takes the cell that the file says, as one of
// frnn_network_save does. Where it says none, what may be of PyTorch is: an LSTM, a GRU that resets after
// the product, or an RNN with tanh, though an sLSTM of one head, the other GRU and the rectifier have the
// same shapes. Other cells are told by theirs, but for a minimal GRU or LSTM of one layer: name these.
frnn_result frnn_network_load(const uint8_t *bytes,
                              size_t size,
                              const char *prefix,
                              uint32_t kind,
                              frnn_network **network);

// The same in a precision, `number` being a frnn_precision. What the precision keeps is kept as the file has
// it: bf16 in those of bf16, and in FRNN_PRECISION_INT8 matrices of int8 with their scales. All else is
// rounded once, from f32.
frnn_result frnn_network_load_in_precision(const uint8_t *bytes,
                                           size_t size,
                                           const char *prefix,
                                           uint32_t kind,
                                           uint32_t number,
                                           frnn_network **network);

// Sets all parameters of a network that exists from such a file: of one with options that a file does not
// tell. Options that the file says must be those of the network. A pass that was run for training before
// can no longer run backward.
frnn_result frnn_network_set_parameters_of_file(frnn_network *network,
                                                const uint8_t *bytes,
                                                size_t size,
                                                const char *prefix);

// The network of recurrent nodes of an ONNX model, `size` bytes: nodes above each other are one network, and
// `index` counts them from 0. The layout is that of the nodes, mostly FRNN_LAYOUT_TIME_MAJOR; states begin
// as zero.
frnn_result frnn_network_load_onnx(const uint8_t *bytes,
                                   size_t size,
                                   size_t index,
                                   frnn_network **network);

// Writes the parameters as a safetensors file, by PyTorch's names behind `prefix`, to `to`, which has room
// for `capacity` bytes; `size` is what the file takes. Where `to` is NULL, only `size` is written. The file
// has the tensors, the cell and its options (direction, activations, coupled gates, clips, zoneout, layer
// normalisation): no dropout, layout or precision, and a second bias of zeros where the network has
// FRNN_BIAS_SINGLE. Matrices whose scales were given (frnn_network_set_scales, or a file of bytes) have them
// there, and a network in FRNN_PRECISION_INT8 takes them by frnn_network_set_parameters_of_file. All else is
// f32, whatever the precision: frnn_network_save_rounded makes a smaller file.
frnn_result frnn_network_save(const frnn_network *network,
                              const char *prefix,
                              uint8_t *to,
                              size_t capacity,
                              size_t *size);

// The same with matrices of weights as the precision of the network rounds them: in FRNN_PRECISION_INT8 as
// int8 with scales, a quarter of the bytes, in those of bf16 as bf16, half of them.
// frnn_network_load_in_precision makes a network of that precision of it with the same outputs, bit for bit;
// so has a network that exists, once frnn_network_set_parameters_of_file has set it.
frnn_result frnn_network_save_rounded(const frnn_network *network,
                                      const char *prefix,
                                      uint8_t *to,
                                      size_t capacity,
                                      size_t *size);

// A model without layers, for `inputs` features. Layers are added in the order in which they run.
frnn_result frnn_model_create(size_t inputs, frnn_model **model);

// The model of a file of an audio plug-in, `size` bytes: RTNeural's JSON, that of AIDA-X with skip
// connection, gains and sample rate, GuitarML's (Proteus, NeuralPi), NAM's with the architecture LSTM.
frnn_result frnn_model_load(const uint8_t *bytes, size_t size, frnn_model **model);

// Frees a model. NULL is allowed.
void frnn_model_destroy(frnn_model *model);

// Adds recurrent layers, which run forward in time, with the parameters that they have now.
frnn_result frnn_model_add_network(frnn_model *model, const frnn_network *network);

// The same model with its networks in another precision, a frnn_precision, as frnn_network_in_precision
// makes them: one of a file is in floats. Dense layers stay in floats.
frnn_result frnn_model_in_precision(const frnn_model *model, uint32_t number, frnn_model **converted);

// Frees the parameters of its networks, of a file or of frnn_model_add_network, as
// frnn_network_drop_parameters says. A network that a stream, or a handle of its own, shares keeps its
// parameters for those, and the model gets one without: drop before streams are made.
frnn_result frnn_model_drop_parameters(frnn_model *model);

// The bytes of the parameters and packed weights of its layers; 0 for NULL.
size_t frnn_model_bytes(const frnn_model *model);

// Adds a dense layer to `outputs` values: `weight` (outputs, inputs), row-major as PyTorch's, and `bias`
// (outputs), or NULL for zeros.
frnn_result frnn_model_add_dense(frnn_model *model,
                                 size_t outputs,
                                 const float *weight,
                                 size_t weight_count,
                                 const float *bias,
                                 size_t bias_count);

// Adds the dense layer whose tensors `weight` (outputs, inputs) and, where it has one, `bias` (outputs) are
// in a file, of `size` bytes and of the kinds that frnn_network_load reads, behind `prefix`: "lin." for
// "lin.weight". The file may have tensors beside them whose names do not begin with it.
frnn_result frnn_model_add_dense_of_file(frnn_model *model,
                                         const uint8_t *bytes,
                                         size_t size,
                                         const char *prefix);

// Adds a function of each value, a frnn_activation.
frnn_result frnn_model_add_activation(frnn_model *model, uint32_t number);

// Whether the first inputs, as many as there are outputs, are added to the outputs. Set it after the layers:
// a model that has more outputs than inputs then is refused, here and by frnn_stream_create.
frnn_result frnn_model_set_skip(frnn_model *model,
                                int32_t skip);

// The factors of all inputs and of all outputs; 1 at first.
frnn_result frnn_model_set_gains(frnn_model *model, float input, float output);

// The sample rate of the training, in hertz.
frnn_result frnn_model_set_sample_rate(frnn_model *model, double sample_rate);

// Features of the input; 0 for NULL.
size_t frnn_model_inputs(const frnn_model *model);

// Features of the output; 0 for NULL.
size_t frnn_model_outputs(const frnn_model *model);

// The sample rate of the training in hertz; 0 where it is not known, and for NULL.
double frnn_model_sample_rate(const frnn_model *model);

// The ratio for frnn_stream_create at a sample rate in hertz: that rate over the one of the training; 1
// where that one is not known, and for NULL. Below 1 the input must be resampled.
double frnn_model_ratio_for(const frnn_model *model, double sample_rate);

// Frees a network. NULL is allowed.
void frnn_network_destroy(frnn_network *network);

// A network with the same layers and parameters; of one that has dropped its parameters, with the same
// packed weights, which both share.
frnn_result frnn_network_clone(const frnn_network *network, frnn_network **clone);

// The same network in another precision, a frnn_precision, with the same parameters.
frnn_result frnn_network_in_precision(const frnn_network *network,
                                      uint32_t number,
                                      frnn_network **converted);

// Frees the parameters in floats, which inference does not need: what stays are the weights packed for it, a
// quarter of these bytes in FRNN_PRECISION_INT8, half in those of bf16. Outputs are the same bits as before.
// There is no way back.
//
// From then on there are no parameters and no tensors, and what needs them is FRNN_RESULT_UNSUPPORTED: to
// read, set, load and save them, scales, another precision, training. A model that the network was added to
// before keeps its own: drop first, then add it, or see frnn_model_drop_parameters.
frnn_result frnn_network_drop_parameters(frnn_network *network);

// Whether it has its parameters: 1, or 0 once they have been dropped, and for NULL.
int32_t frnn_network_has_parameters(const frnn_network *network);

// The bytes of its parameters and packed weights; 0 for NULL.
size_t frnn_network_bytes(const frnn_network *network);

// Features of the input, I; 0 for NULL.
size_t frnn_network_input_size(const frnn_network *network);

// Features of the output: directions times hidden units, or times the size of the projection; 0 for NULL.
size_t frnn_network_output_size(const frnn_network *network);

// Hidden units, H; 0 for NULL.
size_t frnn_network_hidden_size(const frnn_network *network);

// Layers; 0 for NULL.
size_t frnn_network_layers(const frnn_network *network);

// Directions of each layer, 1 or 2; 0 for NULL.
size_t frnn_network_directions(const frnn_network *network);

// The cell, a frnn_cell; 0 for NULL.
uint32_t frnn_network_cell(const frnn_network *network);

// The order of the axes of its sequences, a frnn_layout; 0 for NULL.
uint32_t frnn_network_layout(const frnn_network *network);

// How its weights are stored and multiplied, a frnn_precision; 0 for NULL.
uint32_t frnn_network_precision(const frnn_network *network);

// The number of all parameters; 0 where they have been dropped, and for NULL.
size_t frnn_network_parameter_count(const frnn_network *network);

// The number of tensors that the parameters are made of; 0 where they have been dropped, and for NULL.
size_t frnn_network_tensor_count(const frnn_network *network);

// The tensor of this number: its name as in PyTorch, such as "weight_ih_l0", its shape of `rank` sizes, and
// where it begins among all parameters. Name and shape are valid until the network is destroyed. Pointers
// to what is not wanted may be NULL.
frnn_result frnn_network_tensor(const frnn_network *network,
                                size_t index,
                                const char **name,
                                const size_t **shape,
                                size_t *rank,
                                size_t *start);

// Writes all parameters to `to`, `count` of them: of each layer and direction weight_ih, weight_hh, bias_ih,
// bias_hh and so on, as frnn_network_tensor lists them.
frnn_result frnn_network_get_parameters(const frnn_network *network,
                                        float *to,
                                        size_t count);

// Sets all parameters from `from`, in the same order. A pass that was run for training before can no longer
// run backward.
frnn_result frnn_network_set_parameters(frnn_network *network, const float *from, size_t count);

// Sets one tensor by its name, such as "weight_hh_l0".
frnn_result frnn_network_set_parameter(frnn_network *network,
                                       const char *name,
                                       const float *from,
                                       size_t count);

// Sets the scales with which FRNN_PRECISION_INT8 rounds a weight matrix, by the name of its tensor: one for
// each of its rows, or one for all of them; NULL and 0 for its own again. A matrix that was quantised
// elsewhere, scale * q with q from -128 to 127, so keeps its integers.
frnn_result frnn_network_set_scales(frnn_network *network,
                                    const char *name,
                                    const float *scales,
                                    size_t count);

// A pass for sequences of `batch` rows and `steps` steps; states are zero.
frnn_result frnn_pass_create(const frnn_network *network, size_t batch, size_t steps, frnn_pass **pass);

// Frees a pass. NULL is allowed.
void frnn_pass_destroy(frnn_pass *pass);

// Another number of steps, for the calls from now on; states stay.
frnn_result frnn_pass_set_steps(frnn_pass *pass, size_t steps);

// The length of each row, `count` of them, from 0 to the number of steps. NULL: all rows have all steps.
frnn_result frnn_pass_set_lengths(frnn_pass *pass, const size_t *lengths, size_t count);

// Which steps are real, (batch, steps), 0 or not, and before which steps the state is zero; `count` of each.
// NULL: all steps are real, no state is reset.
frnn_result frnn_pass_set_mask_and_resets(frnn_pass *pass,
                                          const uint8_t *mask,
                                          const uint8_t *resets,
                                          size_t count);

// What the tape of training keeps: the states of every `every`th step, from which the steps between run
// again, or all for 0. It takes effect with the next frnn_pass_forward_train: until then frnn_pass_backward
// has the tape of the last one.
frnn_result frnn_pass_set_checkpoints(frnn_pass *pass, size_t every);

// All states are zero.
frnn_result frnn_pass_reset_state(frnn_pass *pass);

// Sets the states: `h` (layers * directions, batch, H), or as wide as the projection; `c` the same of a cell
// that has it, as LSTMs do, and 0 values of other cells.
frnn_result frnn_pass_set_state(frnn_pass *pass,
                                const float *h,
                                size_t h_count,
                                const float *c,
                                size_t c_count);

// Writes the states: those that the last call has left.
frnn_result frnn_pass_get_state(const frnn_pass *pass, float *h, size_t h_count, float *c, size_t c_count);

// Sets one of the states by its name: "h", "c", and of an sLSTM "n" and "m", (layers * directions, batch,
// H).
frnn_result frnn_pass_set_plane(frnn_pass *pass, const char *name, const float *values, size_t count);

// Writes one of the states, by its name.
frnn_result frnn_pass_get_plane(const frnn_pass *pass, const char *name, float *values, size_t count);

// Bytes that the pass holds; 0 for NULL.
size_t frnn_pass_bytes(const frnn_pass *pass);

// Runs sequences: `x` (batch, steps, I), or (steps, batch, I) where the layout is time-major; `y` (batch,
// steps, output size) in the same layout, or NULL where the final state alone is wanted. States are read
// from the pass and left there. Real time on one thread, from the second call on with the same network,
// number of steps, mask and resets.
frnn_result frnn_pass_forward(frnn_pass *pass,
                              const frnn_network *network,
                              const float *x,
                              size_t x_count,
                              float *y,
                              size_t y_count);

// The same for training, with dropout and zoneout from `seed`: the pass keeps the tape for
// frnn_pass_backward. A call that fails leaves the pass without a tape.
frnn_result frnn_pass_forward_train(frnn_pass *pass,
                                    const frnn_network *network,
                                    const float *x,
                                    size_t x_count,
                                    float *y,
                                    size_t y_count,
                                    uint64_t seed);

// The gradients of the loss by the final states, for the calls of frnn_pass_backward from now on: `dhn` and
// `dcn` in the shapes of the states. NULL: zero.
frnn_result frnn_pass_set_final_gradients(frnn_pass *pass,
                                          const float *dhn,
                                          size_t dhn_count,
                                          const float *dcn,
                                          size_t dcn_count);

// Runs back through the sequences of the last frnn_pass_forward_train. `x` is its input; `dy` the gradient
// of the loss by `y`, or NULL for zero. `gradients` is that by all parameters, replaced, or added to where
// `accumulate` is not 0; `dx` that by `x`, in its shape. Both may be NULL where they are not wanted.
frnn_result frnn_pass_backward(frnn_pass *pass,
                               const frnn_network *network,
                               const float *x,
                               size_t x_count,
                               const float *dy,
                               size_t dy_count,
                               float *gradients,
                               size_t gradients_count,
                               int32_t accumulate,
                               float *dx,
                               size_t dx_count);

// Writes the gradients of the loss by the initial states, of the last frnn_pass_backward, in the shapes of
// the states.
frnn_result frnn_pass_get_initial_gradients(const frnn_pass *pass,
                                            float *dh0,
                                            size_t dh0_count,
                                            float *dc0,
                                            size_t dc0_count);

// A stream for `rows` rows that run side by side, such as two channels, at `ratio` times the sample rate of
// the training, from 1 to 256. A whole ratio is exact: its phases are streams of their own; of another, the
// two states around that time are blended. All memory is allocated here.
frnn_result frnn_stream_create(const frnn_model *model, size_t rows, double ratio, frnn_stream **stream);

// Frees a stream; not on an audio thread. NULL is allowed.
void frnn_stream_destroy(frnn_stream *stream);

// Runs a block of any number of frames: `x` (frames, rows, inputs), `y` (frames, rows, outputs). Both may be
// the same memory where a frame of both has the same size. Real time. The outputs do not depend on how the
// frames are cut into blocks, bit for bit.
frnn_result frnn_stream_process(frnn_stream *stream,
                                const float *x,
                                float *y,
                                size_t frames);

// The same with an array of `frames` values for each channel: `x[row * inputs + feature]`, `y[row * outputs
// + feature]`. A channel of `y` may be a channel of `x`; other channels may not overlap. Real time.
frnn_result frnn_stream_process_planar(frnn_stream *stream,
                                       const float *const *x,
                                       float *const *y,
                                       size_t frames);

// Runs `frames` frames of silence, so that the sound does not begin while the states settle; half a second
// for NAM. Real time.
frnn_result frnn_stream_settle(frnn_stream *stream, size_t frames);

// All states are as at the beginning. Real time.
frnn_result frnn_stream_reset(frnn_stream *stream);

// The number of values of all states; 0 for NULL. Real time.
size_t frnn_stream_state_count(const frnn_stream *stream);

// Writes all states. A stream of the same model, rows and ratio can go on from them. Real time.
frnn_result frnn_stream_get_state(const frnn_stream *stream, float *to, size_t count);

// Sets all states, as frnn_stream_get_state has written them. Real time.
frnn_result frnn_stream_set_state(frnn_stream *stream, const float *from, size_t count);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FUSED_RNN_H */
