/** Short words about what was just done, for eyes and for screen readers. */

import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from "react";
import Toast from "react-bootstrap/Toast";
import ToastContainer from "react-bootstrap/ToastContainer";

type Tone = "success" | "danger" | "secondary";

interface Message {
  id: number;
  text: string;
  tone: Tone;
}

const ToastContext = createContext<(text: string, tone?: Tone) => void>(() => undefined);
const SHOWN_MS = 5000;
let lastId = 0;

export function ToastProvider({ children }: { children: ReactNode }) {
  const [messages, setMessages] = useState<Message[]>([]);
  const say = useCallback((text: string, tone: Tone = "success") => {
    setMessages((old) => [...old.slice(-3), { id: ++lastId, text, tone }]);
  }, []);
  const drop = useCallback((id: number) => setMessages((old) => old.filter((each) => each.id !== id)), []);
  const list = useMemo(
    () =>
      messages.map((message) => (
        <Toast key={message.id} bg={message.tone} onClose={() => drop(message.id)} delay={SHOWN_MS} autohide>
          <Toast.Body className="text-white">{message.text}</Toast.Body>
        </Toast>
      )),
    [messages, drop],
  );
  return (
    <ToastContext value={say}>
      {children}
      <ToastContainer position="bottom-end" className="p-3 position-fixed" aria-live="polite">
        {list}
      </ToastContainer>
    </ToastContext>
  );
}

export function useToast(): (text: string, tone?: Tone) => void {
  return useContext(ToastContext);
}
