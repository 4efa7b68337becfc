/* An LSTM learns to predict the next sample of a sound: two tones that beat.
 *
 *   train [STEPS]      300 training steps without one; exits with 1 where it has not learned
 *
 * The output of the LSTM is projected to one value, so that no other layer is needed. Adam is written out.
 */
#include "fused_rnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 16
#define STEPS 50
#define COUNT (BATCH * STEPS)

static void check(frnn_result result) {
    if (result != FRNN_RESULT_OK) {
        fprintf(stderr, "%s: %s\n", frnn_result_text(result), frnn_last_error());
        exit(1);
    }
}

static float sound(double t) { return (float)(0.4 * sin(0.31 * t) + 0.3 * sin(0.27 * t)); }

int main(int argc, char **argv) {
    int steps = argc > 1 ? atoi(argv[1]) : 300, step;
    static float x[COUNT], target[COUNT], y[COUNT], dy[COUNT];
    frnn_builder *builder = NULL;
    frnn_network *network = NULL;
    frnn_pass *pass = NULL;
    size_t count, k;
    float *parameters, *gradients, *mean, *square;
    double loss = 0.0, first = 0.0;

    check(frnn_builder_create(FRNN_CELL_LSTM, 1, 32, &builder));
    check(frnn_builder_set_projection(builder, 1));
    check(frnn_builder_set_init(builder, FRNN_INIT_PYTORCH, 7));
    check(frnn_builder_build(builder, &network));
    frnn_builder_destroy(builder);
    check(frnn_pass_create(network, BATCH, STEPS, &pass));

    count = frnn_network_parameter_count(network);
    parameters = malloc(4 * count * sizeof *parameters);
    if (parameters == NULL) return 1;
    gradients = parameters + count;
    mean = gradients + count;
    square = mean + count;
    for (k = 0; k < count; k++) mean[k] = square[k] = 0.0f;
    check(frnn_network_get_parameters(network, parameters, count));

    for (step = 1; step <= steps; step++) {
        for (k = 0; k < COUNT; k++) {
            /* Row k / STEPS begins somewhere else in the sound at each step. */
            double t = (double)(k % STEPS) + 37.0 * (double)(k / STEPS) + 11.0 * step;
            x[k] = sound(t);
            target[k] = sound(t + 1.0);
        }
        check(frnn_pass_reset_state(pass));
        check(frnn_pass_forward_train(pass, network, x, COUNT, y, COUNT, (uint64_t)step));
        loss = 0.0;
        for (k = 0; k < COUNT; k++) {
            float difference = y[k] - target[k];
            loss += (double)difference * difference / COUNT;
            dy[k] = 2.0f * difference / COUNT;
        }
        if (step == 1) first = loss;
        check(frnn_pass_backward(pass, network, x, COUNT, dy, COUNT, gradients, count, 0, NULL, 0));
        for (k = 0; k < count; k++) {
            mean[k] += 0.1f * (gradients[k] - mean[k]);
            square[k] += 0.001f * (gradients[k] * gradients[k] - square[k]);
            parameters[k] -= 0.01f * (mean[k] / (1.0f - powf(0.9f, (float)step))) /
                             (sqrtf(square[k] / (1.0f - powf(0.999f, (float)step))) + 1e-8f);
        }
        check(frnn_network_set_parameters(network, parameters, count));
        if (step % 50 == 0 || step == 1) printf("step %4d: mean squared error %.6f\n", step, loss);
    }
    free(parameters);
    frnn_pass_destroy(pass);
    frnn_network_destroy(network);
    return loss < 0.05 * first ? 0 : 1;
}
