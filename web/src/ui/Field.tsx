/** A labelled input that says what is wrong with it. */

import { type HTMLInputAutoCompleteAttribute, useId } from "react";

/** What the API asks of a password. */
export const PASSWORD_LENGTH = "10 to 128 characters";

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  type?: string;
  autoComplete?: HTMLInputAutoCompleteAttribute;
  error?: string | undefined;
  help?: string;
  required?: boolean;
  min?: number;
  step?: string;
  maxLength?: number;
  rows?: number;
}

export function Field({ label, value, onChange, error, help, rows, ...input }: FieldProps) {
  const id = useId();
  const shared = {
    id,
    className: `form-control ${error ? "is-invalid" : ""}`,
    value,
    "aria-invalid": Boolean(error),
    "aria-describedby": error || help ? `${id}-help` : undefined,
  };
  return (
    <div>
      <label htmlFor={id} className="form-label">
        {label}
      </label>
      {rows ? (
        <textarea {...shared} rows={rows} onChange={(event) => onChange(event.target.value)} />
      ) : (
        <input {...shared} {...input} onChange={(event) => onChange(event.target.value)} />
      )}
      {(error ?? help) && (
        <div id={`${id}-help`} className={error ? "invalid-feedback" : "form-text"}>
          {error ?? help}
        </div>
      )}
    </div>
  );
}
