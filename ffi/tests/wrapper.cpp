// The classes of fused_rnn.hpp: each calls the function of its name with its arguments, owns its handle once,
// and throws what that says.
#include "fused_rnn.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

using namespace fused_rnn;

namespace {

int failures = 0;

void expect(bool holds, const char *what, int line) {
    if (holds) return;
    std::fprintf(stderr, "line %d: %s\n", line, what);
    failures++;
}
#define EXPECT(condition) expect((condition), #condition, __LINE__)

// The result and the text with which something fails.
template <class Call>
std::pair<frnn_result, std::string> failure(Call call) {
    try {
        call();
    } catch (const Error &error) {
        return {error.result(), error.what()};
    }
    return {FRNN_RESULT_OK, ""};
}

void networks() {
    const Network network = Builder(FRNN_CELL_GRU_RESET_AFTER, 3, 5)
                                .layers(2)
                                .layout(FRNN_LAYOUT_TIME_MAJOR)
                                .bias(FRNN_BIAS_SINGLE)
                                .activations({FRNN_ACTIVATION_HARD_SIGMOID, FRNN_ACTIVATION_TANH})
                                .init(FRNN_INIT_KERAS, 3)
                                .threads(1)
                                .precision(FRNN_PRECISION_BF16)
                                .build();
    EXPECT(network.cell() == FRNN_CELL_GRU_RESET_AFTER && network.layout() == FRNN_LAYOUT_TIME_MAJOR);
    EXPECT(network.precision() == FRNN_PRECISION_BF16 && network.layers() == 2 && network.directions() == 1);
    EXPECT(network.input_size() == 3 && network.hidden_size() == 5 && network.output_size() == 5);
    const auto tensors = network.tensors();
    EXPECT(tensors.size() == 6 && tensors[0].name == "weight_ih_l0" && tensors[3].name == "weight_ih_l1");
    EXPECT(tensors[0].shape == (std::vector<std::size_t>{15, 3}) && tensors[1].start == 45);
    EXPECT(tensors[5].start + 15 == network.parameter_count());

    Network small = network.in_precision(FRNN_PRECISION_INT8);
    EXPECT(small.precision() == FRNN_PRECISION_INT8 && small.parameters() == network.parameters());
    small.set_scales("weight_hh_l0", {0.01f});
    small.set_scales("weight_hh_l0", {});
    small.set_parameter("bias_ih_l1", std::vector<float>(15, 0.5f));
    EXPECT(small.parameters().back() == 0.5f && network.parameters() == network.clone().parameters());
    EXPECT(failure([&] { small.set_parameters({1.0f}); }).first == FRNN_RESULT_LENGTH);
    EXPECT(failure([&] { Builder(FRNN_CELL_LSTM, 1, 0).build(); }).first == FRNN_RESULT_RANGE);
    const auto file = failure([] { Network::load({1, 2, 3}); });
    EXPECT(file.first == FRNN_RESULT_FORMAT && file.second.find("safetensors") != std::string::npos);
    EXPECT(failure([] { Network::load_onnx({1, 2, 3}); }).first == FRNN_RESULT_FORMAT);
    // Files have tensors alone, and two biases.
    const auto saved = network.save("rnn.");
    const Network loaded = Network::load(saved, "rnn.", FRNN_CELL_GRU_RESET_AFTER);
    EXPECT(loaded.parameter_count() == network.parameter_count() + 2 * 15);
    EXPECT(loaded.precision() == FRNN_PRECISION_F32);
    const Network halves = Network::load(saved, "rnn.", FRNN_CELL_OF_FILE, FRNN_PRECISION_BF16);
    EXPECT(halves.precision() == FRNN_PRECISION_BF16 && halves.parameters() == loaded.parameters());
    const auto wrong = [&] { Network::load(saved, "rnn.", FRNN_CELL_OF_FILE, static_cast<frnn_precision>(9)); };
    EXPECT(failure(wrong).first == FRNN_RESULT_RANGE);
    small.set_parameters_of_file(saved, "rnn.");
    EXPECT(small.parameters() == network.parameters());
    EXPECT(failure([&] { small.set_parameters_of_file(saved, "lin."); }).first == FRNN_RESULT_FORMAT);
    EXPECT(small.parameters() == network.parameters());
    const std::size_t bytes = small.bytes(), count = small.parameter_count();
    small.drop_parameters();
    EXPECT(!small.has_parameters() && network.has_parameters() && small.bytes() == bytes - 4 * count);
    EXPECT(failure([&] { small.set_parameters({1.0f}); }).first == FRNN_RESULT_UNSUPPORTED);
    EXPECT(small.parameter_count() == 0 && small.tensors().empty() && !small.clone().has_parameters());
}

// One step of training down the gradient makes a loss smaller; empty vectors stand for NULL.
void training() {
    Network network = Builder(FRNN_CELL_LSTM, 1, 8).init(FRNN_INIT_PYTORCH, 1).dropout(0).build();
    constexpr std::size_t kBatch = 2, kSteps = 4, kCount = kBatch * kSteps;
    Pass pass(network, kBatch, 1);
    pass.set_steps(kSteps);
    std::vector<float> x(kCount, 0.5f), y(kCount * 8), whole(y.size()), dx(kCount), none;
    std::vector<float> gradients(network.parameter_count()), twice(gradients.size());
    pass.forward(network, x, whole);
    std::vector<float> h(kBatch * 8), c(h.size()), again(h.size());
    pass.get_state(h, c);
    pass.reset_state();
    pass.forward(network, x, none);
    pass.get_state(again, c);
    EXPECT(again == h && h[0] == whole[3 * 8] && h[8] == whole[7 * 8]);

    none.reserve(100); // (Empty, and not NULL.)
    none.clear();
    pass.set_lengths({4, 2});
    pass.set_mask_and_resets({1, 0, 1, 1, 1, 1, 1, 1}, {});
    pass.reset_state();
    pass.forward(network, x, y);
    EXPECT(y != whole && y[6 * 8] == 0.0f);
    pass.set_lengths(std::vector<std::size_t>());
    pass.set_mask_and_resets({}, {});
    pass.reset_state();
    pass.set_checkpoints(2);
    pass.forward_train(network, x, y, 1);
    EXPECT(y == whole && pass.bytes() > 0);

    // The loss is the sum of all final hidden states.
    pass.set_final_gradients(std::vector<float>(h.size(), 1.0f), {});
    pass.backward(network, x, none, gradients, dx);
    twice = gradients;
    pass.backward(network, x, none, twice, dx, true);
    EXPECT(dx[0] != 0.0f && std::abs(twice[5] - 2 * gradients[5]) < 1e-6f && gradients[5] != 0.0f);
    std::vector<float> dh0(h.size()), dc0(h.size());
    pass.get_initial_gradients(dh0, dc0);
    EXPECT(dc0[0] > 0.0f);
    pass.set_final_gradients({}, {});
    pass.backward(network, x, none, twice);
    EXPECT(twice == std::vector<float>(twice.size(), 0.0f));
    auto parameters = network.parameters();
    for (std::size_t k = 0; k < parameters.size(); k++) parameters[k] -= 0.01f * gradients[k];
    network.set_parameters(parameters);
    pass.set_state(std::vector<float>(h.size()), std::vector<float>(h.size()));
    pass.forward(network, x, none);
    pass.get_state(again, c);
    double before = 0, after = 0;
    for (const float value : h) before += value;
    for (const float value : again) after += value;
    EXPECT(after < before);
    bool thrown = false;
    try {
        pass.set_mask_and_resets({1}, {1, 1});
    } catch (const std::invalid_argument &) {
        thrown = true;
    }
    EXPECT(thrown);
}

// A layer with heads, whose states are four: a sequence in one piece and in two.
void heads() {
    const Network network = Builder(FRNN_CELL_SLSTM, 2, 12).heads(3).threads(1).build();
    EXPECT(network.cell() == FRNN_CELL_SLSTM);
    EXPECT(network.tensors()[1].shape == (std::vector<std::size_t>{4 * 12, 4}));
    const auto refused = failure([] { Builder(FRNN_CELL_SLSTM, 2, 12).heads(5).build(); });
    EXPECT(refused.first == FRNN_RESULT_RANGE && refused.second.find("divides") != std::string::npos);
    std::vector<float> x(2 * 6), whole(6 * 12), y(3 * 12);
    for (std::size_t k = 0; k < x.size(); k++) x[k] = 0.1f * static_cast<float>(k) - 0.5f;
    Pass(network, 1, 6).forward(network, x, whole);
    Pass first(network, 1, 3), second(network, 1, 3);
    first.forward(network, {x.begin(), x.begin() + 6}, y);
    EXPECT(y == std::vector<float>(whole.begin(), whole.begin() + 36));
    std::vector<float> plane(12);
    for (const char *name : {"h", "c", "n", "m"}) {
        first.get_plane(name, plane);
        second.set_plane(name, plane);
    }
    second.forward(network, {x.begin() + 6, x.end()}, y);
    EXPECT(y == std::vector<float>(whole.begin() + 36, whole.end()));
    EXPECT(failure([&] { second.set_plane("k", plane); }).first == FRNN_RESULT_NAME);
    EXPECT(failure([&] { second.set_plane("n", {1.0f}); }).first == FRNN_RESULT_LENGTH);
    plane.resize(11);
    EXPECT(failure([&] { second.get_plane("n", plane); }).first == FRNN_RESULT_LENGTH);
}

void models() {
    const Network network = Builder(FRNN_CELL_ELMAN_TANH, 2, 4).init(FRNN_INIT_PYTORCH, 2).build();
    const std::string text = R"({"lin.weight": [[1, 2, 3, 4], [0, 0, 1, 0]], "lin.bias": [0.5, 0]})";
    const std::vector<std::uint8_t> file(text.begin(), text.end());
    Model model(2), other(2);
    model.network(network).dense_of_file(file, "lin.").activation(FRNN_ACTIVATION_TANH);
    model.skip(true).gains(2, 0.5f);
    std::vector<float> bias;
    bias.reserve(10); // (Empty, and not NULL.)
    other.network(network).dense(2, {1, 2, 3, 4, 0, 0, 1, 0}, bias);
    model.sample_rate(48000);
    const std::size_t bytes = other.bytes();
    EXPECT(other.drop_parameters().bytes() == bytes - 4 * network.parameter_count());
    EXPECT(model.bytes() == bytes && network.has_parameters());
    Model small = model.in_precision(FRNN_PRECISION_INT8);
    const std::size_t of_small = small.bytes();
    EXPECT(small.ratio_for(96000) == 2.0 && small.outputs() == 2 && model.bytes() == bytes);
    EXPECT(failure([&] { model.in_precision(static_cast<frnn_precision>(9)); }).first == FRNN_RESULT_RANGE);
    EXPECT(small.drop_parameters().bytes() == of_small - 4 * network.parameter_count());
    EXPECT(failure([&] { small.in_precision(FRNN_PRECISION_F32); }).first == FRNN_RESULT_UNSUPPORTED);
    EXPECT(model.inputs() == 2 && model.outputs() == 2 && model.ratio_for(96000) == 2.0);
    EXPECT(failure([&] { Stream(model, 1, 0.5); }).first == FRNN_RESULT_RANGE);

    Stream first(model, 1, model.ratio_for(96000));
    Stream stream(std::move(first));
    EXPECT(!first.process(nullptr, nullptr, 0)); // NOLINT: a handle that has moved is an error, no crash.
    std::vector<float> x{0.1f, 0.2f, 0.3f, 0.4f}, y(4), state(stream.state_count()), left(2), right(2);
    EXPECT(stream.get_state(state.data(), state.size()) && stream.process(x.data(), y.data(), 2));
    EXPECT(stream.set_state(state.data(), state.size()) && !stream.set_state(state.data(), 1));
    const float *inputs[] = {left.data(), right.data()};
    float *outputs[] = {left.data(), right.data()};
    left = {0.1f, 0.3f}, right = {0.2f, 0.4f};
    EXPECT(stream.process_planar(inputs, outputs, 2));
    EXPECT(left[0] == y[0] && right[0] == y[1] && left[1] == y[2] && right[1] == y[3]);
    EXPECT(stream.settle(10) && stream.reset() && Stream(other).process(x.data(), y.data(), 2));
    EXPECT(Stream(small).process(x.data(), y.data(), 2));
}

} // namespace

int main() {
    try {
        networks();
        training();
        heads();
        models();
    } catch (const std::exception &error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    if (failures == 0) std::puts("the classes do what the functions do");
    return failures == 0 ? 0 : 1;
}
