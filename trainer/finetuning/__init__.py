"""Fine-tuning: what a run trains, on what, and how; and the lines that say so."""
