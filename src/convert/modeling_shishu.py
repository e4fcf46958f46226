"""A ShishuLM for transformers: its parent's model, in which some blocks have a linear map or nothing in the place of attention.

Blocks may share an MLP. Load it with AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).
"""

import torch
from torch import nn
from torch.nn.functional import pad
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel

OWN = {"model_type", "architectures", "auto_map", "layer_types", "transformers_version"}
OWN |= {"parent_model_type", "parent_layer_types", "shared_mlps", "linear_rank", "linear_inputs"}
# What transformers passes beside the fields of the file.
PASSED = {"name_or_path", "attn_implementation", "experts_implementation"}


def typed(value, default):
    """Whole numbers as floats where these are expected: JSON does not tell them apart."""
    return float(value) if isinstance(default, float) and type(value) is int else value


class ShishuConfig(PretrainedConfig):
    """The parent's fields, what each block has (layer_types), and which blocks share an MLP (shared_mlps)."""

    model_type = "shishu"

    def __init__(self, **fields):
        # transformers knows no "linear" among the types of layers.
        super().__init__(**{name: value for name, value in fields.items() if name != "layer_types"})
        self.fields = {name: value for name, value in fields.items() if name not in PASSED}

    def get_text_config(self, *_, **__):
        """The parent's config, by which masks and caches are made."""
        if not hasattr(self, "fields") or "parent_model_type" not in self.fields:
            return self
        if "_parent" not in self.__dict__:
            if self.fields.get("gain_offset") is not None:
                raise ValueError("These weights come of a GGUF file, whose gains of norms transformers reads otherwise.")
            kind = CONFIG_MAPPING[self.fields["parent_model_type"]]
            fields = {name: typed(value, getattr(kind, name, None)) for name, value in self.fields.items() if name not in OWN}
            if self.fields.get("parent_layer_types") is not None:
                fields["layer_types"] = self.fields["parent_layer_types"]
            self.__dict__["_parent"] = kind(**fields)
        return self._parent

    def to_dict(self):
        return {**super().to_dict(), **self.fields} if hasattr(self, "fields") else super().to_dict()

    def _remove_keys_not_serialized(self, output):
        super()._remove_keys_not_serialized(output)
        for name in ("fields", "_parent"):
            output.pop(name, None)


class LinearMap(nn.Module):
    """W z + b, z of the last `inputs` normalised positions, the block's own first; with a rank, W is up times down."""

    def __init__(self, parent, layer, inputs, rank):
        super().__init__()
        self.layer, self.inputs, self.eps = layer, inputs, parent.rms_norm_eps
        # What the parent multiplies with what is added to the hidden states.
        self.factor = getattr(parent, "residual_multiplier", 1.0)
        size = parent.hidden_size
        if rank is None:
            self.weight = nn.Parameter(torch.zeros(size, inputs * size))
            self.bias = nn.Parameter(torch.zeros(size))
        else:
            self.down = nn.Linear(inputs * size, rank, bias=False)
            self.up = nn.Linear(rank, size)

    def forward(self, hidden_states, token_mask=None, **kwargs):
        x = hidden_states.float()
        z = (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)).to(hidden_states.dtype)
        if token_mask is not None:
            # Nothing is before the first token, where there is padding.
            z = z * token_mask[:, -z.shape[1] :, None].to(z.dtype)
        rows = remembered(z if self.inputs > 1 else z[..., :1], self.layer, kwargs)
        length, seen = z.shape[1], [z]
        for back in range(1, self.inputs):
            seen.append(pad(rows, (0, 0, back, 0))[:, rows.shape[1] - length : rows.shape[1]])
        z = torch.cat(seen, -1)
        added = self.up(self.down(z)) if hasattr(self, "up") else nn.functional.linear(z, self.weight, self.bias)
        return added / self.factor, None


def remembered(z, layer, kwargs):
    """All rows so far: the cache keeps them as keys of one head, of width 1 where they only count positions."""
    cache = kwargs.get("cache", kwargs.get("past_key_values"))
    return z if cache is None else cache.update(z[:, None], z[:, None, :, :0], layer)[0][:, 0]


def without_attention(layer):
    def forward(hidden_states, **kwargs):
        remembered(hidden_states[..., :1], layer, kwargs)
        return torch.zeros_like(hidden_states), None

    return forward


def replace(block, name, function):
    """Calls a function where a module was; what a block shares with another has no weights of its own."""
    delattr(block, name)
    setattr(block, name, function)


class ShishuForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = ShishuConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = _supports_flash_attn = _supports_flex_attn = True

    def __init__(self, config):
        super().__init__(config)
        fields, parent_config = config.fields, config.get_text_config()
        parent = AutoModelForCausalLM.from_config(
            parent_config, dtype=torch.get_default_dtype(), attn_implementation=config._attn_implementation
        )
        inputs, rank = fields.get("linear_inputs") or 1, fields.get("linear_rank")
        blocks = parent.model.layers
        after = hasattr(blocks[0], "post_feedforward_layernorm")
        for layer, (block, kind) in enumerate(zip(blocks, fields["layer_types"], strict=True)):
            if kind not in ("linear", "mlp"):
                continue
            if kind == "linear":
                block.linear_attn = LinearMap(parent_config, layer, inputs, rank)
            replace(block, "self_attn", block.linear_attn.forward if kind == "linear" else without_attention(layer))
            for norm in ("input_layernorm", *(["post_attention_layernorm"] if after else [])):
                if hasattr(block, norm):
                    setattr(block, norm, nn.Identity())
        norms = ("pre_feedforward_layernorm", "post_feedforward_layernorm") if after else ("post_attention_layernorm",)
        for first, *others in fields.get("shared_mlps") or []:
            for name in ("mlp", "feed_forward", "shared_mlp", *norms):
                for other in others if hasattr(blocks[first], name) else []:
                    replace(blocks[other], name, getattr(blocks[first], name).forward)
        self.model, self.lm_head = parent.model, parent.lm_head
        self._tied_weights_keys = parent._tied_weights_keys
        # Not as a module: its weights are those of the above.
        self.__dict__["parent"] = parent
        self.post_init()

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        if attention_mask is not None and attention_mask.dim() == 2:
            kwargs["token_mask"] = attention_mask
        return self.parent(input_ids, attention_mask=attention_mask, **kwargs)
