import { stringify } from 'yaml'
import type { GluontsOptions } from './options.ts'

/**
 * A configuration for the Chronos training script: every shard with its share of the bars. Paths are relative, so the
 * script is run from the export's folder. The other values are the script's own for `chronos-t5-small`.
 */
export function trainYaml(
  shards: readonly { readonly path: string; readonly bars: number }[],
  options: GluontsOptions,
): string {
  const total = shards.reduce((sum, shard) => sum + shard.bars, 0)
  const settings = {
    training_data_paths: shards.map((shard) => shard.path),
    probability: shards.map((shard) => shard.bars / total),
    context_length: options.context_length,
    prediction_length: options.prediction_length,
    min_past: options.min_past,
    max_missing_prop: options.max_missing_prop,
    max_steps: 200_000,
    save_steps: 100_000,
    log_steps: 500,
    per_device_train_batch_size: 32,
    learning_rate: 0.001,
    optim: 'adamw_torch_fused',
    num_samples: 20,
    shuffle_buffer_length: 100_000,
    gradient_accumulation_steps: 1,
    model_id: 'google/t5-efficient-small',
    model_type: 'seq2seq',
    random_init: true,
    tie_embeddings: true,
    output_dir: './output/',
    tf32: true,
    torch_compile: true,
    tokenizer_class: 'MeanScaleUniformBins',
    tokenizer_kwargs: { low_limit: -15, high_limit: 15 },
    n_tokens: 4096,
    lr_scheduler_type: 'linear',
    warmup_ratio: 0,
    dataloader_num_workers: shards.length,
  }
  return `# For scripts/training/train.py of chronos-forecasting: run it in this folder, --config train.yaml.\n${stringify(settings)}`
}
