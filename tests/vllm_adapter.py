"""LoRA adapters for the embedded model that change what it says."""

from pathlib import Path


def new_adapter(folder: Path, seed: int) -> Path:
    """Random ones, so that any two of them differ; of rank 8."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from rerail.train.sandbox.shipped import model_folder

    torch.manual_seed(seed)
    settings = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder()), settings)
    model.save_pretrained(str(folder))
    return folder
