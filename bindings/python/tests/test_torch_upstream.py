"""PyTorch's own inputs and errors of its recurrent modules (`torch.testing._internal.common_modules`), with
the classes of this package: the behaviours that PyTorch's test_modules.py asks of every module."""

import copy
import io
import pickle
from contextlib import contextmanager

import torch
import torch.testing._internal.common_modules as common
from torch.testing._internal.common_device_type import instantiate_device_type_tests
from torch.testing._internal.common_modules import ModuleErrorEnum, ModuleInfo, modules
from torch.testing._internal.common_utils import TestCase, freeze_rng_state, gradcheck, gradgradcheck

import fused_rnn.torch as fused

CLASSES = [fused.RNN, fused.GRU, fused.LSTM, fused.RNNCell, fused.GRUCell, fused.LSTMCell]


def info(cls):
    """PyTorch's entry, for our class."""
    theirs = next(entry for entry in common.module_db if entry.module_cls is cls.__mro__[2])
    return ModuleInfo(
        cls,
        module_inputs_func=theirs.module_inputs_func,
        module_error_inputs_func=theirs.module_error_inputs_func,
        train_and_eval_differ=theirs.train_and_eval_differ,
        dtypes=theirs.dtypes,
    )


OURS = [info(cls) for cls in CLASSES]


def made(info, entry, device, dtype, training):
    args, keywords = entry.constructor_input.args, entry.constructor_input.kwargs
    return info.module_cls(*args, **keywords).to(device).to(dtype).train(training)


def tensors(value):
    """The tensors of nested tuples."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (tuple, list)):
        return [tensor for part in value for tensor in tensors(part)]
    return []


@contextmanager
def theirs(module):
    """The module as PyTorch's."""
    fused.revert(module)
    try:
        yield module
    finally:
        fused.convert(module)


class Upstream(TestCase):
    def entries(self, info, device, dtype, training, requires_grad=False):
        entries = list(
            info.module_inputs_func(
                info, device=device, dtype=dtype, requires_grad=requires_grad, training=training
            )
        )
        self.assertTrue(entries)
        return entries

    @modules(OURS)
    def test_forward(self, device, dtype, module_info, training):
        for entry in self.entries(module_info, device, dtype, training):
            with freeze_rng_state():
                module = made(module_info, entry, device, dtype, training)
                args, keywords = entry.forward_input.args, entry.forward_input.kwargs
                got = module(*args, **keywords)
                if entry.reference_fn is not None:
                    self.assertEqual(got, entry.reference_fn(module, *args, **keywords))
                with theirs(module):
                    self.assertEqual(got, module(*args, **keywords))

    @modules(OURS)
    def test_repr_and_factory_keywords(self, device, dtype, module_info, training):
        for entry in self.entries(module_info, device, dtype, training):
            module = made(module_info, entry, device, dtype, training)
            text = repr(module)
            with theirs(module):
                self.assertEqual(text, repr(module))
            args, keywords = entry.constructor_input.args, dict(entry.constructor_input.kwargs)
            keywords |= {"device": "meta", "dtype": torch.float64}
            for parameter in module_info.module_cls(*args, **keywords).parameters():
                self.assertEqual((parameter.device.type, parameter.dtype), ("meta", torch.float64))

    @modules(OURS)
    def test_pickle_copy_and_state_dict(self, device, dtype, module_info, training):
        for entry in self.entries(module_info, device, dtype, training):
            module = made(module_info, entry, device, dtype, training)
            args, keywords = entry.forward_input.args, entry.forward_input.kwargs
            expected = module(*args, **keywords)
            buffer = io.BytesIO()
            torch.save(module, buffer)
            buffer.seek(0)
            others = [pickle.loads(pickle.dumps(module)), copy.deepcopy(module), copy.copy(module)]
            for other in (*others, torch.load(buffer, weights_only=False)):
                self.assertIs(type(other), type(module))
                self.assertEqual(other(*args, **keywords), expected, atol=0, rtol=0)
            plain = type(module).__mro__[2](*entry.constructor_input.args, **entry.constructor_input.kwargs)
            plain = plain.to(dtype)
            plain.load_state_dict(module.state_dict())
            back = made(module_info, entry, device, dtype, training)
            back.load_state_dict(plain.state_dict())
            self.assertEqual(back(*args, **keywords), expected, atol=0, rtol=0)

    @modules(OURS, allowed_dtypes=[torch.float32])
    def test_non_contiguous_tensors(self, device, dtype, module_info, training):
        for entry in self.entries(module_info, device, dtype, training, requires_grad=True):
            module = made(module_info, entry, device, dtype, training)
            args = entry.forward_input.args

            def strided(value):
                if isinstance(value, torch.Tensor) and value.dim():
                    wide = torch.stack([torch.full_like(value, torch.nan), value.detach()], -1)
                    return wide[..., 1].requires_grad_(value.requires_grad)
                return tuple(map(strided, value)) if isinstance(value, (tuple, list)) else value

            results = []
            for given in (args, tuple(map(strided, args))):
                module.zero_grad()
                outputs = tensors(module(*given))
                for out in outputs:
                    weight = torch.linspace(-1, 1, out.numel()).view(out.shape)
                    out.backward(weight.t().contiguous().t(), retain_graph=True)
                grads = [value.grad for value in tensors(given)]
                results.append((outputs, grads, [p.grad.clone() for p in module.parameters()]))
            self.assertEqual(results[0], results[1], atol=0, rtol=0)

    @modules(OURS, allowed_dtypes=[torch.double])
    def test_grad_and_gradgrad(self, device, dtype, module_info, training):
        for entry in self.entries(module_info, device, dtype, training, requires_grad=True)[:6]:
            module = made(module_info, entry, device, dtype, training)
            names, values = zip(*module.named_parameters())
            args = entry.forward_input.args
            given = [value for value in tensors(args) if value.requires_grad]

            def call(*changed):
                changed, rest = list(changed[: len(given)]), changed[len(given) :]

                def put(value):
                    if isinstance(value, torch.Tensor):
                        return changed.pop(0) if value.requires_grad else value
                    return tuple(map(put, value)) if isinstance(value, (tuple, list)) else value

                with freeze_rng_state():
                    out = torch.func.functional_call(module, dict(zip(names, rest)), tuple(map(put, args)))
                return tuple(tensors(out))

            inputs = (*given, *values)
            self.assertTrue(gradcheck(call, inputs, check_batched_grad=False))
            self.assertTrue(gradgradcheck(call, inputs, check_batched_grad=False))

    @modules([entry for entry in OURS if entry.module_error_inputs_func])
    def test_errors(self, device, dtype, module_info, training):
        entries = module_info.module_error_inputs_func(
            module_info, device=device, dtype=dtype, requires_grad=False, training=training
        )
        for error in entries:
            entry = error.module_error_input
            args, keywords = entry.constructor_input.args, entry.constructor_input.kwargs
            if error.error_on == ModuleErrorEnum.CONSTRUCTION_ERROR:
                with self.assertRaisesRegex(error.error_type, error.error_regex):
                    module_info.module_cls(*args, **keywords)
            else:
                module = module_info.module_cls(*args, **keywords)
                with self.assertRaisesRegex(error.error_type, error.error_regex):
                    module(*entry.forward_input.args, **entry.forward_input.kwargs)


instantiate_device_type_tests(Upstream, globals(), only_for="cpu")
