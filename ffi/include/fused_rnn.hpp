// fused-rnn for C++17: the handles of fused_rnn.h as classes that free them. Header-only.
//
// What can fail throws fused_rnn::Error, with the text of frnn_last_error; what audio threads call is
// noexcept and returns whether it succeeded. Classes can be moved and not copied. Arguments and arrays are
// those of the functions in fused_rnn.h, whose comments say what they mean.
#ifndef FUSED_RNN_HPP
#define FUSED_RNN_HPP

#include "fused_rnn.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace fused_rnn {

// A call that failed.
class Error : public std::runtime_error {
public:
    explicit Error(frnn_result result) : std::runtime_error(frnn_last_error()), result_(result) {}
    frnn_result result() const noexcept { return result_; }

private:
    frnn_result result_;
};

namespace detail {

inline void check(frnn_result result) {
    if (result != FRNN_RESULT_OK) throw Error(result);
}

// NULL where there are no values. (An empty vector may point to something.)
template <class Vector>
auto data(Vector &values) noexcept {
    return values.empty() ? nullptr : values.data();
}

template <auto destroy>
struct Destroy {
    template <class Handle>
    void operator()(Handle *handle) const noexcept {
        destroy(handle);
    }
};

template <class Handle, auto destroy>
using Owned = std::unique_ptr<Handle, Destroy<destroy>>;

} // namespace detail

// Recurrent layers with their parameters.
class Network {
public:
    // Takes a handle over.
    explicit Network(frnn_network *handle) noexcept : handle_(handle) {}

    // Of a file of PyTorch's names: safetensors, torch.save or JSON.
    static Network load(const std::vector<std::uint8_t> &bytes, const std::string &prefix = "",
                        frnn_cell cell = FRNN_CELL_OF_FILE, frnn_precision precision = FRNN_PRECISION_F32) {
        frnn_network *handle = nullptr;
        detail::check(frnn_network_load_in_precision(bytes.data(), bytes.size(), prefix.c_str(), cell,
                                                     precision, &handle));
        return Network(handle);
    }

    // Of an ONNX model.
    static Network load_onnx(const std::vector<std::uint8_t> &bytes, std::size_t index = 0) {
        frnn_network *handle = nullptr;
        detail::check(frnn_network_load_onnx(bytes.data(), bytes.size(), index, &handle));
        return Network(handle);
    }

    // The same parameters in another precision.
    Network in_precision(frnn_precision precision) const {
        frnn_network *handle = nullptr;
        detail::check(frnn_network_in_precision(get(), precision, &handle));
        return Network(handle);
    }

    // Keeps the packed weights alone, for inference.
    void drop_parameters() { detail::check(frnn_network_drop_parameters(get())); }
    bool has_parameters() const noexcept { return frnn_network_has_parameters(get()) != 0; }
    // Of parameters and packed weights.
    std::size_t bytes() const noexcept { return frnn_network_bytes(get()); }

    Network clone() const {
        frnn_network *handle = nullptr;
        detail::check(frnn_network_clone(get(), &handle));
        return Network(handle);
    }

    // A safetensors file.
    std::vector<std::uint8_t> save(const std::string &prefix = "") const {
        return file_of<frnn_network_save>(prefix);
    }
    // One with weights as the precision rounds them.
    std::vector<std::uint8_t> save_rounded(const std::string &prefix = "") const {
        return file_of<frnn_network_save_rounded>(prefix);
    }

    std::size_t input_size() const noexcept { return frnn_network_input_size(get()); }
    std::size_t output_size() const noexcept { return frnn_network_output_size(get()); }
    std::size_t hidden_size() const noexcept { return frnn_network_hidden_size(get()); }
    std::size_t layers() const noexcept { return frnn_network_layers(get()); }
    std::size_t directions() const noexcept { return frnn_network_directions(get()); }
    frnn_cell cell() const noexcept { return static_cast<frnn_cell>(frnn_network_cell(get())); }
    frnn_layout layout() const noexcept { return static_cast<frnn_layout>(frnn_network_layout(get())); }
    frnn_precision precision() const noexcept {
        return static_cast<frnn_precision>(frnn_network_precision(get()));
    }
    std::size_t parameter_count() const noexcept { return frnn_network_parameter_count(get()); }

    std::vector<float> parameters() const {
        std::vector<float> values(parameter_count());
        detail::check(frnn_network_get_parameters(get(), values.data(), values.size()));
        return values;
    }
    void set_parameters(const std::vector<float> &values) {
        detail::check(frnn_network_set_parameters(get(), values.data(), values.size()));
    }
    void set_parameter(const std::string &name, const std::vector<float> &values) {
        detail::check(frnn_network_set_parameter(get(), name.c_str(), values.data(), values.size()));
    }
    // Of a file, into a network with options that files do not tell.
    void set_parameters_of_file(const std::vector<std::uint8_t> &bytes, const std::string &prefix = "") {
        detail::check(
            frnn_network_set_parameters_of_file(get(), bytes.data(), bytes.size(), prefix.c_str()));
    }
    // Of FRNN_PRECISION_INT8; empty for its own.
    void set_scales(const std::string &name, const std::vector<float> &scales) {
        detail::check(frnn_network_set_scales(get(), name.c_str(), scales.data(), scales.size()));
    }

    // A parameter tensor, by its number.
    struct Tensor {
        std::string name;
        std::vector<std::size_t> shape;
        std::size_t start; // among all parameters
    };
    std::vector<Tensor> tensors() const {
        std::vector<Tensor> all(frnn_network_tensor_count(get()));
        for (std::size_t index = 0; index < all.size(); index++) {
            const char *name = nullptr;
            const std::size_t *shape = nullptr;
            std::size_t rank = 0;
            detail::check(frnn_network_tensor(get(), index, &name, &shape, &rank, &all[index].start));
            all[index].name = name;
            all[index].shape.assign(shape, shape + rank);
        }
        return all;
    }

    frnn_network *get() const noexcept { return handle_.get(); }

private:
    template <auto save>
    std::vector<std::uint8_t> file_of(const std::string &prefix) const {
        std::size_t size = 0;
        detail::check(save(get(), prefix.c_str(), nullptr, 0, &size));
        std::vector<std::uint8_t> bytes(size);
        detail::check(save(get(), prefix.c_str(), bytes.data(), bytes.size(), &size));
        return bytes;
    }

    detail::Owned<frnn_network, frnn_network_destroy> handle_;
};

// Options of a network, each set by a function that returns the builder.
class Builder {
public:
    Builder(frnn_cell cell, std::size_t input_size, std::size_t hidden_size) {
        frnn_builder *handle = nullptr;
        detail::check(frnn_builder_create(cell, input_size, hidden_size, &handle));
        handle_.reset(handle);
    }

    Builder &layers(std::size_t layers) { return set(frnn_builder_set_layers(get(), layers)); }
    Builder &direction(frnn_direction direction) { return set(frnn_builder_set_direction(get(), direction)); }
    Builder &layout(frnn_layout layout) { return set(frnn_builder_set_layout(get(), layout)); }
    Builder &bias(frnn_bias bias) { return set(frnn_builder_set_bias(get(), bias)); }
    Builder &activations(const std::vector<std::uint32_t> &activations) {
        return set(frnn_builder_set_activations(get(), activations.data(), activations.size()));
    }
    Builder &clip(float clip) { return set(frnn_builder_set_clip(get(), clip)); }
    Builder &cell_clip(float clip) { return set(frnn_builder_set_cell_clip(get(), clip)); }
    Builder &peephole(bool peephole) { return set(frnn_builder_set_peephole(get(), peephole)); }
    Builder &coupled(bool coupled) { return set(frnn_builder_set_coupled(get(), coupled)); }
    Builder &projection(std::size_t size) { return set(frnn_builder_set_projection(get(), size)); }
    Builder &layer_norm(float epsilon) { return set(frnn_builder_set_layer_norm(get(), epsilon)); }
    Builder &heads(std::size_t heads) { return set(frnn_builder_set_heads(get(), heads)); }
    Builder &dropout(float between, float recurrent = 0, float input = 0) {
        return set(frnn_builder_set_dropout(get(), between, recurrent, input));
    }
    Builder &zoneout(float hidden, float cell = 0) {
        return set(frnn_builder_set_zoneout(get(), hidden, cell));
    }
    Builder &init(frnn_init init, std::uint64_t seed) {
        return set(frnn_builder_set_init(get(), init, seed));
    }
    Builder &precision(frnn_precision precision) {
        return set(frnn_builder_set_precision(get(), precision));
    }
    Builder &threads(std::size_t threads) { return set(frnn_builder_set_threads(get(), threads)); }
    Builder &level(const std::string &name) { return set(frnn_builder_set_level(get(), name.c_str())); }

    Network build() const {
        frnn_network *network = nullptr;
        detail::check(frnn_builder_build(get(), &network));
        return Network(network);
    }

    frnn_builder *get() const noexcept { return handle_.get(); }

private:
    Builder &set(frnn_result result) {
        detail::check(result);
        return *this;
    }

    detail::Owned<frnn_builder, frnn_builder_destroy> handle_;
};

// States, tape and memory for sequences. Vectors that are empty stand for NULL.
class Pass {
public:
    Pass(const Network &network, std::size_t batch, std::size_t steps) {
        frnn_pass *handle = nullptr;
        detail::check(frnn_pass_create(network.get(), batch, steps, &handle));
        handle_.reset(handle);
    }

    void set_steps(std::size_t steps) { detail::check(frnn_pass_set_steps(get(), steps)); }
    void set_lengths(const std::vector<std::size_t> &lengths) {
        detail::check(frnn_pass_set_lengths(get(), detail::data(lengths), lengths.size()));
    }
    // One of them, or both, of as many values.
    void set_mask_and_resets(const std::vector<std::uint8_t> &mask, const std::vector<std::uint8_t> &resets) {
        if (!mask.empty() && !resets.empty() && mask.size() != resets.size())
            throw std::invalid_argument("mask and resets: expected the same number of values");
        detail::check(frnn_pass_set_mask_and_resets(get(), detail::data(mask), detail::data(resets),
                                                    mask.empty() ? resets.size() : mask.size()));
    }
    void set_checkpoints(std::size_t every) { detail::check(frnn_pass_set_checkpoints(get(), every)); }
    void reset_state() { detail::check(frnn_pass_reset_state(get())); }
    void set_state(const std::vector<float> &h, const std::vector<float> &c) {
        detail::check(frnn_pass_set_state(get(), h.data(), h.size(), c.data(), c.size()));
    }
    // Into vectors that have as many values as the states.
    void get_state(std::vector<float> &h, std::vector<float> &c) const {
        detail::check(frnn_pass_get_state(get(), h.data(), h.size(), c.data(), c.size()));
    }
    // One of them by its name: "h", "c", and of an sLSTM "n" and "m".
    void set_plane(const std::string &name, const std::vector<float> &values) {
        detail::check(frnn_pass_set_plane(get(), name.c_str(), values.data(), values.size()));
    }
    // Into a vector that has as many values as the state.
    void get_plane(const std::string &name, std::vector<float> &values) const {
        detail::check(frnn_pass_get_plane(get(), name.c_str(), values.data(), values.size()));
    }
    // Into `y`, which has as many values as the outputs, or none where the final state alone is wanted.
    void forward(const Network &network, const std::vector<float> &x, std::vector<float> &y) {
        detail::check(frnn_pass_forward(get(), network.get(), x.data(), x.size(), detail::data(y), y.size()));
    }
    void forward_train(const Network &network, const std::vector<float> &x, std::vector<float> &y,
                       std::uint64_t seed = 0) {
        detail::check(frnn_pass_forward_train(get(), network.get(), x.data(), x.size(), detail::data(y),
                                              y.size(), seed));
    }
    void set_final_gradients(const std::vector<float> &dhn, const std::vector<float> &dcn) {
        detail::check(frnn_pass_set_final_gradients(get(), detail::data(dhn), dhn.size(), detail::data(dcn),
                                                    dcn.size()));
    }
    // Gradients by all parameters, replaced, and by the inputs, into vectors that have as many values.
    void backward(const Network &network, const std::vector<float> &x, const std::vector<float> &dy,
                  std::vector<float> &gradients) {
        std::vector<float> no_dx;
        backward(network, x, dy, gradients, no_dx);
    }
    void backward(const Network &network, const std::vector<float> &x, const std::vector<float> &dy,
                  std::vector<float> &gradients, std::vector<float> &dx, bool accumulate = false) {
        detail::check(frnn_pass_backward(get(), network.get(), x.data(), x.size(), detail::data(dy),
                                         dy.size(), detail::data(gradients), gradients.size(),
                                         accumulate ? 1 : 0, detail::data(dx), dx.size()));
    }
    // Into vectors that have as many values as the states.
    void get_initial_gradients(std::vector<float> &dh0, std::vector<float> &dc0) const {
        detail::check(frnn_pass_get_initial_gradients(get(), dh0.data(), dh0.size(), dc0.data(), dc0.size()));
    }
    std::size_t bytes() const noexcept { return frnn_pass_bytes(get()); }

    frnn_pass *get() const noexcept { return handle_.get(); }

private:
    detail::Owned<frnn_pass, frnn_pass_destroy> handle_;
};

// A model that runs sample by sample.
class Model {
public:
    explicit Model(std::size_t inputs) {
        frnn_model *handle = nullptr;
        detail::check(frnn_model_create(inputs, &handle));
        handle_.reset(handle);
    }

    // Of a file of RTNeural, AIDA-X, GuitarML or NAM.
    static Model load(const std::vector<std::uint8_t> &bytes) {
        frnn_model *handle = nullptr;
        detail::check(frnn_model_load(bytes.data(), bytes.size(), &handle));
        return Model(handle);
    }

    Model &network(const Network &network) { return set(frnn_model_add_network(get(), network.get())); }
    // A bias that is empty is zero.
    Model &dense(std::size_t outputs, const std::vector<float> &weight, const std::vector<float> &bias = {}) {
        return set(frnn_model_add_dense(get(), outputs, weight.data(), weight.size(), detail::data(bias),
                                        bias.size()));
    }
    Model &dense_of_file(const std::vector<std::uint8_t> &bytes, const std::string &prefix = "") {
        return set(frnn_model_add_dense_of_file(get(), bytes.data(), bytes.size(), prefix.c_str()));
    }
    Model &activation(frnn_activation activation) {
        return set(frnn_model_add_activation(get(), activation));
    }
    Model &skip(bool skip) { return set(frnn_model_set_skip(get(), skip)); }
    Model &gains(float input, float output) { return set(frnn_model_set_gains(get(), input, output)); }
    Model &sample_rate(double hertz) { return set(frnn_model_set_sample_rate(get(), hertz)); }
    // Its networks in another precision.
    Model in_precision(frnn_precision precision) const {
        frnn_model *handle = nullptr;
        detail::check(frnn_model_in_precision(get(), precision, &handle));
        return Model(handle);
    }
    // Its networks keep their packed weights alone.
    Model &drop_parameters() { return set(frnn_model_drop_parameters(get())); }
    std::size_t bytes() const noexcept { return frnn_model_bytes(get()); }

    std::size_t inputs() const noexcept { return frnn_model_inputs(get()); }
    std::size_t outputs() const noexcept { return frnn_model_outputs(get()); }
    double sample_rate() const noexcept { return frnn_model_sample_rate(get()); }
    double ratio_for(double hertz) const noexcept { return frnn_model_ratio_for(get(), hertz); }

    frnn_model *get() const noexcept { return handle_.get(); }

private:
    explicit Model(frnn_model *handle) noexcept : handle_(handle) {}
    Model &set(frnn_result result) {
        detail::check(result);
        return *this;
    }

    detail::Owned<frnn_model, frnn_model_destroy> handle_;
};

// A model that runs for some rows. What is noexcept is for audio threads.
class Stream {
public:
    explicit Stream(const Model &model, std::size_t rows = 1, double ratio = 1.0) {
        frnn_stream *handle = nullptr;
        detail::check(frnn_stream_create(model.get(), rows, ratio, &handle));
        handle_.reset(handle);
    }

    bool process(const float *x, float *y, std::size_t frames) noexcept {
        return frnn_stream_process(get(), x, y, frames) == FRNN_RESULT_OK;
    }
    bool process_planar(const float *const *x, float *const *y, std::size_t frames) noexcept {
        return frnn_stream_process_planar(get(), x, y, frames) == FRNN_RESULT_OK;
    }
    bool settle(std::size_t frames) noexcept { return frnn_stream_settle(get(), frames) == FRNN_RESULT_OK; }
    bool reset() noexcept { return frnn_stream_reset(get()) == FRNN_RESULT_OK; }
    std::size_t state_count() const noexcept { return frnn_stream_state_count(get()); }
    bool get_state(float *to, std::size_t count) const noexcept {
        return frnn_stream_get_state(get(), to, count) == FRNN_RESULT_OK;
    }
    bool set_state(const float *from, std::size_t count) noexcept {
        return frnn_stream_set_state(get(), from, count) == FRNN_RESULT_OK;
    }

    frnn_stream *get() const noexcept { return handle_.get(); }

private:
    detail::Owned<frnn_stream, frnn_stream_destroy> handle_;
};

} // namespace fused_rnn

#endif
