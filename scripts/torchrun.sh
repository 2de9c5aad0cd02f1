#!/usr/bin/env bash
# Starts one process a GPU by torchrun, on one machine or several; Lightning finds out that it runs under torchrun.
#
#   GPUS=8 scripts/torchrun.sh --config configs/imagenet_resnet50.yaml --config configs/gpus/8.yaml --store DIR
#
# On each of several machines, which must see the same files, the same command with
#
#   NODES=2 HOST=the-first-machine:29500 GPUS=8 scripts/torchrun.sh --config ... --config configs/gpus/2x8.yaml
#
# The config has to name as many devices and nodes. A process that dies ends all of them; they start again up to RESTARTS
# times and go on where they were (--resume).
set -euo pipefail
cd "$(dirname "$0")/.."

rendezvous=(--standalone)
if [[ ${NODES:-1} -gt 1 ]]; then
    rendezvous=(--nnodes "$NODES" --rdzv-backend c10d --rdzv-endpoint "$HOST" --rdzv-id "${JOB:-somscope}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${rendezvous[@]}" --nproc-per-node "${GPUS:-1}" \
    --max-restarts "${RESTARTS:-3}" train.py "$@" --resume
