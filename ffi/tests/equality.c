/* Compares what the C functions compute with what the Rust interface has computed, bit for bit.
 *
 *   equality FOLDER      of files that examples/expected.rs has written: floats, as the machine has them
 */
#include "fused_rnn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static int compared;

static void check(frnn_result result, const char *what) {
    if (result != FRNN_RESULT_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, frnn_result_text(result), frnn_last_error());
        exit(1);
    }
}

/* The bytes of a file, and their number. */
static void *read_bytes(const char *name, size_t *size) {
    char path[1024];
    FILE *file;
    void *bytes;
    long end;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (end = ftell(file)) < 0) {
        perror(path);
        exit(1);
    }
    rewind(file);
    *size = (size_t)end;
    bytes = malloc(*size + 1);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) exit(1);
    fclose(file);
    return bytes;
}

static float *read_floats(const char *name, size_t *count) {
    float *values = read_bytes(name, count);
    *count /= sizeof *values;
    return values;
}

static float *room(size_t count) {
    float *values = malloc((count + 1) * sizeof *values);
    if (values == NULL) exit(1);
    memset(values, 0xFF, count * sizeof *values);
    return values;
}

static void compare(const char *name, const float *got, size_t count) {
    size_t expected;
    float *want = read_floats(name, &expected);
    if (expected != count || memcmp(got, want, count * sizeof *got) != 0) {
        fprintf(stderr, "%s: %zu values in C, %zu in Rust, or other bits\n", name, count, expected);
        exit(1);
    }
    free(want);
    compared++;
}

/* Two layers in both directions with dropout: forward, training, gradients. */
static void sequences(void) {
    enum { BATCH = 5, STEPS = 9, INPUT = 3, HIDDEN = 17, STATE = 2 * 2 * BATCH * HIDDEN };
    const size_t lengths[BATCH] = {9, 0, 4, 7, 9};
    frnn_builder *builder;
    frnn_network *network, *loaded;
    frnn_pass *pass;
    size_t x_count, dy_count, dhn_count, count, size, index, start, rank, end = 0;
    const size_t *shape;
    const char *name;
    float *x = read_floats("x", &x_count), *dy = read_floats("dy", &dy_count);
    float *dhn = read_floats("dhn", &dhn_count);
    float *y = room(dy_count), *h = room(STATE), *c = room(STATE), *dx = room(x_count), *gradients;
    uint8_t *file;

    check(frnn_builder_create(FRNN_CELL_LSTM, INPUT, HIDDEN, &builder), "builder");
    check(frnn_builder_set_layers(builder, 2), "layers");
    check(frnn_builder_set_direction(builder, FRNN_DIRECTION_BOTH), "direction");
    check(frnn_builder_set_dropout(builder, 0.3f, 0.2f, 0.1f), "dropout");
    check(frnn_builder_set_init(builder, FRNN_INIT_KERAS, 11), "init");
    check(frnn_builder_set_threads(builder, 1), "threads");
    check(frnn_builder_build(builder, &network), "build");
    frnn_builder_destroy(builder);

    count = frnn_network_parameter_count(network);
    gradients = room(count);
    check(frnn_network_get_parameters(network, gradients, count), "parameters");
    compare("parameters", gradients, count);
    for (index = 0; index < frnn_network_tensor_count(network); index++) {
        check(frnn_network_tensor(network, index, &name, &shape, &rank, &start), "tensor");
        if (start != end || rank < 1 || rank > 2 || strlen(name) < 10) exit(1);
        end = start + shape[0] * (rank == 2 ? shape[1] : 1);
    }
    if (end != count) exit(1);

    check(frnn_pass_create(network, BATCH, STEPS, &pass), "pass");
    check(frnn_pass_set_lengths(pass, lengths, BATCH), "lengths");
    check(frnn_pass_forward(pass, network, x, x_count, y, dy_count), "forward");
    compare("y", y, dy_count);
    check(frnn_pass_get_state(pass, h, STATE, c, STATE), "state");
    compare("h", h, STATE);
    compare("c", c, STATE);

    check(frnn_pass_forward_train(pass, network, x, x_count, y, dy_count, 23), "forward_train");
    compare("y_train", y, dy_count);
    check(frnn_pass_set_final_gradients(pass, dhn, dhn_count, NULL, 0), "final gradients");
    check(frnn_pass_backward(pass, network, x, x_count, dy, dy_count, gradients, count, 0, dx, x_count),
          "backward");
    compare("gradients", gradients, count);
    compare("dx", dx, x_count);
    check(frnn_pass_get_initial_gradients(pass, h, STATE, c, STATE), "initial gradients");
    compare("dh0", h, STATE);
    compare("dc0", c, STATE);
    check(frnn_pass_backward(pass, network, x, x_count, dy, dy_count, gradients, count, 1, NULL, 0),
          "backward, added");
    compare("gradients_twice", gradients, count);

    /* Out as a file and in again. */
    check(frnn_network_save(network, "rnn.", NULL, 0, &size), "size of the file");
    file = malloc(size);
    if (file == NULL) exit(1);
    check(frnn_network_save(network, "rnn.", file, size, &size), "file");
    check(frnn_network_load(file, size, "rnn.", FRNN_CELL_OF_FILE, &loaded), "load");
    check(frnn_network_get_parameters(loaded, gradients, count), "parameters");
    compare("parameters", gradients, count);
    frnn_network_destroy(loaded);
    free(file);

    frnn_pass_destroy(pass);
    frnn_network_destroy(network);
    free(x), free(dy), free(dhn), free(y), free(h), free(c), free(dx), free(gradients);
}

/* Streams of three ratios, of two rows, in blocks, planar and in place. */
static void streams(void) {
    static const double ratios[3] = {1.0, 2.0, 1.5};
    static const char *const names[3] = {"stream_1", "stream_2", "stream_1.5"};
    size_t size, count, frames, frame, state, k;
    uint8_t *file = read_bytes("model.json", &size);
    float *x = read_floats("stream_x", &count), *y = room(count), *saved;
    frnn_model *model;
    frnn_stream *stream;
    frames = count / 2;
    check(frnn_model_load(file, size, &model), "model");
    free(file);
    for (k = 0; k < 3; k++) {
        check(frnn_stream_create(model, 2, ratios[k], &stream), "stream");
        state = frnn_stream_state_count(stream);
        saved = room(state);
        check(frnn_stream_get_state(stream, saved, state), "state");
        for (frame = 0; frame < frames; frame += 50)
            check(frnn_stream_process(stream, x + 2 * frame, y + 2 * frame, 50), "process");
        compare(names[k], y, count);

        check(frnn_stream_reset(stream), "reset");
        memcpy(y, x, count * sizeof *y);
        check(frnn_stream_process(stream, y, y, frames), "in place");
        compare(names[k], y, count);

        {
            float *channels[2] = {room(frames), room(frames)};
            const float *inputs[2];
            inputs[0] = channels[0];
            inputs[1] = channels[1];
            check(frnn_stream_set_state(stream, saved, state), "state");
            for (frame = 0; frame < frames; frame++) {
                channels[0][frame] = x[2 * frame];
                channels[1][frame] = x[2 * frame + 1];
            }
            check(frnn_stream_process_planar(stream, inputs, channels, frames), "planar");
            for (frame = 0; frame < frames; frame++) {
                y[2 * frame] = channels[0][frame];
                y[2 * frame + 1] = channels[1][frame];
            }
            compare(names[k], y, count);
            free(channels[0]), free(channels[1]);
        }
        free(saved);
        frnn_stream_destroy(stream);
    }
    frnn_model_destroy(model);
    free(x), free(y);
}

/* A model of its parts. */
static void parts(void) {
    size_t size, count, head_count;
    uint8_t *file = read_bytes("network.safetensors", &size);
    float *x = read_floats("parts_x", &count), *y = room(count), *head = read_floats("head", &head_count);
    float *zeros;
    frnn_network *network;
    frnn_model *model;
    frnn_stream *stream;
    check(frnn_network_load(file, size, "", FRNN_CELL_GRU_RESET_AFTER, &network), "network");
    free(file);
    check(frnn_model_create(1, &model), "model");
    check(frnn_model_add_network(model, network), "network");
    check(frnn_model_add_dense(model, 1, head, head_count - 1, head + head_count - 1, 1), "dense");
    check(frnn_model_add_activation(model, FRNN_ACTIVATION_TANH), "activation");
    check(frnn_model_set_skip(model, 1), "skip");
    check(frnn_model_set_gains(model, 0.5f, 2.0f), "gains");
    /* The model keeps the parameters that the network had. */
    zeros = read_floats("zeros", &size);
    check(frnn_network_set_parameters(network, zeros, size), "parameters");
    free(zeros);
    frnn_network_destroy(network);
    check(frnn_stream_create(model, 1, 1.0, &stream), "stream");
    frnn_model_destroy(model);
    check(frnn_stream_process(stream, x, y, count), "process");
    compare("parts_y", y, count);
    frnn_stream_destroy(stream);
    free(x), free(y), free(head);
}

int main(int argc, char **argv) {
    if (argc != 2 || frnn_abi_version() != FRNN_ABI_VERSION) return 2;
    folder = argv[1];
    sequences();
    streams();
    parts();
    printf("%d results have the bits of Rust\n", compared);
    return compared == 21 ? 0 : 1;
}
